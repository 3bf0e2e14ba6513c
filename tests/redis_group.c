/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/redis_group.h"

#include "common/buf.h"
#include "common/proc.h"
#include "common/store_slot.h"
#include "tests/e2e/bg.h"
#include "tests/e2e/sh.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODE_TIMEOUT "2000" /* ms until a node that is silent is taken for dead */
#define ARGS_MAX 48

/* --- processes */

static bool is_free(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && !bind(fd, (struct sockaddr *)&a, sizeof(a));

	close(fd);
	return ok;
}

/* Below those that the system gives to connections: it stays free while its server is dead. */
static int free_port(void)
{
	uint16_t r;
	int port;

	do {
		ck_assert_int_eq(getrandom(&r, sizeof(r), 0), sizeof(r));
		port = 12000 + r % 20000;
	} while (!is_free(port));
	return port;
}

static bool has_ended(struct redis_group *g, int node)
{
	if (waitpid(g->nodes[node].pid, NULL, WNOHANG) != g->nodes[node].pid)
		return false;
	g->nodes[node].pid = 0;
	return true;
}

static const char *const cluster_options[] = { "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout",
					       NODE_TIMEOUT, "--cluster-replica-validity-factor", "0",
					       "--cluster-allow-replica-migration", "no", NULL };

/* false: it has ended again, its port was taken. */
static bool launch(struct redis_group *g, int node, const char *config)
{
	char dir[96], log_path[112], acl[96], port[8], bus_port[8];
	const char *argv[ARGS_MAX] = { "redis-server" };
	struct err err;
	int n = 1;

	snprintf(dir, sizeof(dir), "%s/%d", g->dir, node);
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	snprintf(port, sizeof(port), "%d", g->nodes[node].port);
	snprintf(bus_port, sizeof(bus_port), "%d", g->nodes[node].bus_port);
	mkdir(dir, 0700);
	if (config)
		argv[n++] = config;
	const char *const all[] = { "--port", port, "--bind", "127.0.0.1", "--dir", dir, NULL };
	const char *const data[] = { "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0", NULL };
	const char *const bus[] = { "--cluster-port", bus_port, NULL };
	const char *const sentinel[] = { "--sentinel", NULL };
	for (int i = 0; all[i]; i++)
		argv[n++] = all[i];
	for (int i = 0; node < g->n_data && data[i]; i++)
		argv[n++] = data[i];
	snprintf(acl, sizeof(acl), "%s/users.acl", g->dir);
	const char *const users[] = { "--aclfile", acl, "--masteruser", "replica", "--masterauth", "replica", NULL };
	for (int i = 0; node < g->n_data && g->has_acl && users[i]; i++)
		argv[n++] = users[i];
	for (int i = 0; g->nodes[node].bus_port && cluster_options[i]; i++)
		argv[n++] = cluster_options[i];
	for (int i = 0; g->nodes[node].bus_port && bus[i]; i++)
		argv[n++] = bus[i];
	for (int i = 0; node >= g->n_data && sentinel[i]; i++)
		argv[n++] = sentinel[i];
	ck_assert_int_lt(n, ARGS_MAX);
	int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ck_assert_int_ge(log_fd, 0);
	union { /* exec's argv is not const-correct */
		const char **in;
		char **out;
	} args = { .in = argv };
	ck_assert_msg(!proc_spawn(&g->nodes[node].pid, args.out, log_fd, log_fd, 1, &err), "%s", err.msg);
	close(log_fd);
	bg_wait_until(has_ended(g, node) || !strcmp(redis_group_ask(g, node, "PING"), "PONG"), "redis-server does not start, see %s", log_path);
	return g->nodes[node].pid != 0;
}

static void start_node(struct redis_group *g, int node, const char *config, bool has_bus)
{
	int tries = 0;

	do {
		ck_assert_msg(tries++ < 20, "redis-server ends again and again, see %s/%d/log", g->dir, node);
		g->nodes[node].port = free_port();
		g->nodes[node].bus_port = has_bus ? free_port() : 0;
	} while (!launch(g, node, config));
}

static void write_users(const struct redis_group *g)
{
	free(sh("sed 's/>DISPATCHER_PASSWORD/>dispatcher/; s/>WORKER_PASSWORD/>worker/; s/>REPLICA_PASSWORD/>replica/; "
		"s/>SENTINEL_PASSWORD/>sentinel/' deploy/redis/users.acl >%s/users.acl; echo 'user admin on >admin ~* &* +@all' >>%s/users.acl",
		g->dir, g->dir));
}

/* settings: a file of deploy/redis, with the users; NULL: neither */
static void start(struct redis_group *g, int n, int n_data, bool has_bus, const char *settings)
{
	memset(g, 0, sizeof(*g));
	g->n = n;
	g->n_data = n_data;
	snprintf(g->dir, sizeof(g->dir), "/tmp/segfarm-group.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(g->dir));
	g->has_acl = settings != NULL;
	if (settings)
		write_users(g);
	for (int i = 0; i < n_data; i++) {
		char config[96] = "";

		if (settings) { /* a copy: sentinels have it rewritten */
			snprintf(config, sizeof(config), "%s/%d.conf", g->dir, i);
			free(sh("cp 'deploy/redis/%s' '%s'", settings, config));
		}
		start_node(g, i, settings ? config : NULL, has_bus);
	}
}

void redis_group_kill(struct redis_group *g, int node)
{
	if (!g->nodes[node].pid)
		return;
	kill(g->nodes[node].pid, SIGKILL);
	while (waitpid(g->nodes[node].pid, NULL, 0) < 0 && errno == EINTR)
		;
	g->nodes[node].pid = 0;
}

void redis_group_restart(struct redis_group *g, int node)
{
	redis_group_kill(g, node);
	ck_assert_msg(launch(g, node, NULL), "the port of node %d was taken", node);
}

void redis_group_stop(struct redis_group *g)
{
	for (int i = 0; i < g->n; i++)
		redis_group_kill(g, i);
	if (g->dir[0])
		proc_remove_tree(g->dir);
	g->dir[0] = 0;
}

const char *redis_group_url(const struct redis_group *g, const char *user, const char *password)
{
	static char url[sizeof(g->url) + 64];
	const char *hosts = strstr(g->url, "://") + 3;

	snprintf(url, sizeof(url), "%.*s%s:%s@%s", (int)(hosts - g->url), g->url, user, password, hosts);
	return url;
}

/* --- questions */

/* An array: a line for each element. */
static void print(struct buf *out, const redisReply *r)
{
	if (r->type == REDIS_REPLY_INTEGER)
		buf_printf(out, "%lld", r->integer);
	else if (r->type == REDIS_REPLY_ARRAY)
		for (size_t i = 0; i < r->elements; i++) {
			buf_put_str(out, i ? "\n" : "");
			print(out, r->element[i]);
		}
	else if (r->str)
		buf_put(out, r->str, r->len);
}

__attribute__((format(printf, 3, 0)))
static const char *ask(const struct redis_group *g, int node, const char *format, va_list ap)
{
	static struct buf text;
	char command[1024];
	redisReply *reply = NULL;
	struct timeval tv = { 20, 0 };
	redisContext *c = redisConnectWithTimeout("127.0.0.1", g->nodes[node].port, tv);
	size_t n = (size_t)vsnprintf(command, sizeof(command) - 2, format, ap);

	buf_reset(&text);
	ck_assert_uint_lt(n, sizeof(command) - 2);
	strcpy(command + n, "\r\n");
	if (c && g->has_acl && node < g->n_data)
		freeReplyObject(redisCommand(c, "AUTH admin admin"));
	if (c && !c->err && !redisSetTimeout(c, tv) && !redisAppendFormattedCommand(c, command, n + 2)) {
		void *r = NULL;

		if (!redisGetReply(c, &r))
			reply = r;
	}
	if (reply)
		print(&text, reply);
	freeReplyObject(reply);
	redisFree(c);
	return buf_cstr(&text);
}

const char *redis_group_ask(const struct redis_group *g, int node, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	const char *text = ask(g, node, format, ap);
	va_end(ap);
	return text;
}

static bool is_master(const struct redis_group *g, int node)
{
	return g->nodes[node].pid && !strncmp(redis_group_ask(g, node, "ROLE"), "master", 6);
}

/* While a master is dead and has no successor yet, all others say CLUSTERDOWN, whatever they are asked. */
static bool has_slot_of(const struct redis_group *g, int node, const char *key)
{
	const char *said = redis_group_ask(g, node, "GET 'x{%s}'", key);

	return strncmp(said, "MOVED", 5) && strncmp(said, "CLUSTERDOWN", 11);
}

int redis_group_master_of(const struct redis_group *g, const char *key)
{
	const bool is_cluster = g->nodes[0].bus_port != 0;

	for (int i = 0; i < g->n_data; i++)
		if (is_master(g, i) && (!is_cluster || has_slot_of(g, i, key)))
			return i;
	return -1;
}

const char *redis_group_on_key(const struct redis_group *g, const char *key, const char *format, ...)
{
	int node = redis_group_master_of(g, key);
	va_list ap;

	if (node < 0)
		return "";
	va_start(ap, format);
	const char *text = ask(g, node, format, ap);
	va_end(ap);
	return text;
}

static bool is_in_step(const struct redis_group *g, int node)
{
	const char *info;

	if (!g->nodes[node].pid)
		return true;
	if (g->nodes[node].bus_port && !strstr(redis_group_ask(g, node, "CLUSTER INFO"), "cluster_state:ok"))
		return false;
	info = redis_group_ask(g, node, "INFO replication");
	return strstr(info, "role:master") || strstr(info, "master_link_status:up");
}

void redis_group_wait(const struct redis_group *g)
{
	for (int i = 0; i < g->n_data; i++)
		bg_wait_until(is_in_step(g, i), "node %d is not in step: %s", i, redis_group_ask(g, i, "INFO replication"));
}

/* --- the kinds */

static int count(const char *text, const char *part)
{
	int n = 0;

	for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
		n++;
	return n;
}

void redis_group_start_one(struct redis_group *g, const char *settings)
{
	start(g, 1, 1, false, settings);
	snprintf(g->url, sizeof(g->url), "redis://127.0.0.1:%d", g->nodes[0].port);
}

void redis_group_start_cluster(struct redis_group *g, bool has_acl)
{
	char nodes[256] = "";
	size_t n = 0;

	start(g, 7, 7, true, has_acl ? "segfarm.conf" : NULL);
	for (int i = 0; i < 6; i++)
		n += (size_t)snprintf(nodes + n, sizeof(nodes) - n, " 127.0.0.1:%d", g->nodes[i].port);
	free(sh("redis-cli %s --cluster create%s --cluster-replicas 1 --cluster-yes", has_acl ? "--no-auth-warning --user admin --pass admin" : "",
		nodes));
	redis_group_ask(g, 6, "CLUSTER MEET 127.0.0.1 %d %d", g->nodes[0].port, g->nodes[0].bus_port);
	for (int i = 0; i < 7; i++)
		bg_wait_until(count(redis_group_ask(g, i, "CLUSTER NODES"), " connected") == 7, "%s", redis_group_ask(g, i, "CLUSTER NODES"));
	redis_group_wait(g);
	bg_wait_until(count(redis_group_ask(g, 0, "CLUSTER NODES"), "slave") == 3, "%s", redis_group_ask(g, 0, "CLUSTER NODES"));
	snprintf(g->url, sizeof(g->url), "redis+cluster://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d", g->nodes[0].port, g->nodes[1].port,
		 g->nodes[2].port);
}

static void start_one_sentinel(struct redis_group *g, int node)
{
	char path[96], dir[80];

	snprintf(dir, sizeof(dir), "%s/%d", g->dir, node);
	mkdir(dir, 0700);
	snprintf(path, sizeof(path), "%s/sentinel.conf", dir);
	FILE *f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "sentinel monitor films 127.0.0.1 %d 2\nsentinel down-after-milliseconds films " NODE_TIMEOUT
		   "\nsentinel failover-timeout films 6000\n", g->nodes[0].port);
	if (g->has_acl)
		fprintf(f, "sentinel auth-user films sentinel\nsentinel auth-pass films sentinel\n");
	fclose(f);
	start_node(g, node, path, false);
}

void redis_group_start_sentinel(struct redis_group *g, bool has_acl)
{
	start(g, 6, 3, false, has_acl ? "segfarm.conf" : NULL);
	for (int i = 1; i < 3; i++)
		redis_group_ask(g, i, "REPLICAOF 127.0.0.1 %d", g->nodes[0].port);
	redis_group_wait(g);
	for (int i = 3; i < 6; i++)
		start_one_sentinel(g, i);
	for (int i = 3; i < 6; i++)
		bg_wait_until(strstr(redis_group_ask(g, i, "INFO sentinel"), "slaves=2,sentinels=3"), "%s", redis_group_ask(g, i, "INFO sentinel"));
	snprintf(g->url, sizeof(g->url), "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/films", g->nodes[3].port, g->nodes[4].port,
		 g->nodes[5].port);
}
