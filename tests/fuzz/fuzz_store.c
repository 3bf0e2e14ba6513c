/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Replies of a Redis that says anything: a thread answers PING, mostly that it is alone, and then the input, whatever it is asked, and
 * hangs up. Commit records are read this way, as nothing else reads them. And what a cluster says of itself, and URLs.
 */
#include "tests/fuzz/fuzz.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/key.h"
#include "common/log.h"
#include "common/store_internal.h"

#define STREAM "0123456789abcdef"

static int listener = -1;
static char url[64];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct bytes reply; /* guarded */
static const char *greeting; /* guarded */

static void answer(int fd)
{
	char asked[4096];

	pthread_mutex_lock(&mutex);
	if (send(fd, greeting, strlen(greeting), MSG_NOSIGNAL) < 0 || send(fd, reply.data, reply.size, MSG_NOSIGNAL) < 0)
		reply.size = 0;
	pthread_mutex_unlock(&mutex);
	shutdown(fd, SHUT_WR);
	while (recv(fd, asked, sizeof asked, 0) > 0)
		;
	close(fd);
}

static void *serve(void *arg)
{
	int fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0)
		answer(fd);
	return arg;
}

/* A socket without a name on disk would do, but hiredis connects by path only. */
static void start(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	pthread_t thread;

	snprintf(a.sun_path, sizeof a.sun_path, "/tmp/segfarm-fuzz.%d", (int)getpid());
	snprintf(url, sizeof url, "unix://%s", a.sun_path);
	unlink(a.sun_path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT(listener >= 0 && !bind(listener, (struct sockaddr *)&a, sizeof a) && !listen(listener, 16));
	ASSERT(!pthread_create(&thread, NULL, serve, NULL));
	log_init("fuzz", LOG_LEVEL_ERROR);
}

static void stop(void)
{
	if (listener >= 0)
		unlink(url + strlen("unix://"));
}

static int see_commit(void *arg, int64_t first, int64_t duration, const struct store_commit *c)
{
	int *n = arg;

	(void)first, (void)duration;
	ASSERT(c->bytes >= 1 && c->bytes <= STORE_SEGMENT_MAX);
	ASSERT(c->pieces == (int)((c->bytes + STORE_PIECE - 1) / STORE_PIECE));
	ASSERT(key_is_valid(c->plan_hash) && key_is_valid(c->checksum));
	return ++*n > 1000;
}

static int see_streams(struct store *s, struct err *err)
{
	char (*keys)[RECORD_KEY_SIZE];
	size_t n;
	int ret = store_list_streams(s, &keys, &n, err);

	for (size_t i = 0; i < n; i++)
		ASSERT(key_is_valid(keys[i]));
	free(keys);
	return ret;
}

static int see_fail(void *arg, const char *rendition, int64_t start, int64_t duration, const char *class_name, int attempts,
		    const char *reason)
{
	ASSERT(strlen(rendition) <= RECORD_RENDITION_MAX);
	(void)start, (void)duration, (void)attempts;
	ASSERT(strlen(class_name) < 32 && strlen(reason) < 2048);
	return ++*(int *)arg > 1000;
}

static int see_dispatcher(void *arg, const char *id, struct bytes status)
{
	ASSERT(key_is_valid(id) && (status.data || !status.size));
	return ++*(int *)arg > 1000;
}

static void ask(struct store *s, unsigned what)
{
	static const struct store_segment seg = { STREAM, "main", 540000, 360000 };
	static uint8_t data[100];
	struct iovec iov = { data, sizeof data };
	struct store_stream stream;
	char owners[1][STORE_OWNER_SIZE];
	static const char keys[1][RECORD_KEY_SIZE] = { STREAM };
	struct store_commit commit = { 0 };
	struct buf out = { 0 };
	struct err err = { 0 };
	int n = 0, ret = 0;

	switch (what % 15) {
	case 0:
		ret = store_get_commit(s, &seg, &commit, &err);
		ASSERT(ret < 1 || !see_commit(&n, 0, 0, &commit));
		break;
	case 1:
		ret = store_list_commits(s, STREAM, "main", see_commit, &n, &err);
		break;
	case 2:
		ret = store_get_piece(s, &seg, 0, &out, &err);
		ASSERT(ret < 1 || (out.size && out.size <= STORE_PIECE));
		break;
	case 3:
		ret = store_get_stream(s, STREAM, &stream, &err);
		ASSERT(ret < 1 || (stream.n_segments >= 0 && memchr(stream.state, 0, sizeof(stream.state))));
		break;
	case 4:
		ret = see_streams(s, &err);
		break;
	case 5:
		ret = store_put_segment(s, &seg, STREAM, &iov, 1, 0, &commit, &err);
		break;
	case 6:
		ret = store_put_plan(s, STREAM, NULL, (struct bytes){ data, 2 }, STREAM, 1, "main", &err);
		break;
	case 7:
		ret = store_get_value(s, STREAM, "index", &out, &err);
		ASSERT(ret < 1 || out.size <= STORE_VALUE_MAX);
		break;
	case 8:
		ret = store_list_fails(s, STREAM, see_fail, &n, &err);
		break;
	case 9:
		ret = store_get_owners(s, keys, 1, owners, &err);
		ASSERT(ret < 0 || memchr(owners[0], 0, STORE_OWNER_SIZE));
		break;
	case 10:
		ret = store_own_stream(s, STREAM, STREAM, "", owners[0], &err);
		ASSERT(ret < 1 || memchr(owners[0], 0, STORE_OWNER_SIZE));
		break;
	case 11:
		ret = store_list_dispatchers(s, see_dispatcher, &n, &err);
		break;
	case 12:
		ret = store_await_mail(s, STREAM, &err);
		if (!ret)
			ret = store_take_mail(s, &out, &err);
		ASSERT(ret < 1 || out.size <= STORE_MAIL_MAX);
		break;
	case 13:
		ret = store_clean(s, STREAM, &err);
		break;
	case 14:
		ret = store_set_mode(s, STREAM, STORE_ON_DEMAND, &err);
		break;
	}
	ASSERT(ret >= 0 || (err.code == ret && err.msg[0]));
	buf_finish(&out);
}

static void read_map(struct bytes in)
{
	struct store_map *map = malloc(sizeof(*map));
	redisReader *reader = redisReaderCreate();
	void *r = NULL;
	struct err err = { 0 };

	ASSERT(map && reader);
	if (redisReaderFeed(reader, (const char *)in.data, in.size) == REDIS_OK && redisReaderGetReply(reader, &r) == REDIS_OK && r) {
		int ret = store_cluster_read(map, r, "here", &err);

		ASSERT(ret == 0 ? map->n > 0 : ret == ERR_DATA && err.msg[0]);
		for (int i = 0; !ret && i < STORE_SLOTS; i++)
			ASSERT(map->of[i] == STORE_NOWHERE || map->of[i] < map->n);
		for (int i = 0; !ret && i < map->n; i++)
			ASSERT(map->nodes[i].host[0] && map->nodes[i].port > 0 && map->nodes[i].port < 65536);
		freeReplyObject(r);
	}
	redisReaderFree(reader);
	free(map);
}

static void read_texts(struct bytes in)
{
	char *text = strndup((const char *)in.data, in.size), name[STORE_URL_MAX];
	struct store_redirect redirect;
	struct store_url urls[STORE_URLS_MAX];
	struct err err = { 0 };

	ASSERT(text);
	store_redirect_read(text, &redirect);
	ASSERT(redirect.slot < STORE_SLOTS && (redirect.to.port || redirect.kind != STORE_MOVED));
	ASSERT(store_slot(text) < STORE_SLOTS);
	int n = store_urls_read(urls, text, &err);
	ASSERT(n > 0 ? n <= STORE_URLS_MAX : n == ERR_USAGE && err.msg[0]);
	for (int i = 0; i < n; i++) {
		ASSERT(urls[i].kind == STORE_UNIX || urls[i].n_hosts > 0);
		store_url_name(&urls[i], name);
		ASSERT(strlen(name) < sizeof(name));
	}
	free(text);
}

/* hiredis makes room for as many elements as an array says it has. */
static bool has_long_array(struct bytes in)
{
	size_t digits = 0;

	for (size_t i = 0; i < in.size; i++) {
		digits = in.data[i] == '*' ? 1 : digits && in.data[i] >= '0' && in.data[i] <= '9' ? digits + 1 : 0;
		if (digits > 6)
			return true;
	}
	return false;
}

/* Which call, then what Redis says. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, size };
	unsigned what = (unsigned)fuzz_uint(&in, 1);
	struct store *s;
	struct err err;

	if (has_long_array(in))
		return 0;
	if (what >= 200) {
		(what % 2 ? read_map : read_texts)(in);
		return 0;
	}
	if (listener < 0) {
		start();
		atexit(stop);
	}
	pthread_mutex_lock(&mutex);
	reply = in;
	greeting = what < 180 ? "+PONG\r\n$-1\r\n" : "+PONG\r\n";
	pthread_mutex_unlock(&mutex);
	if (!store_open(&s, url, 2000, &err)) {
		ask(s, what);
		store_close(s);
	}
	pthread_mutex_lock(&mutex);
	reply.size = 0;
	pthread_mutex_unlock(&mutex);
	return 0;
}
