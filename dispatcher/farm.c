/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/farm.h"

#include "common/log.h"
#include "common/proc.h"
#include "common/record.h"
#include "common/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIR_PREFIX "segfarm."
#define STOP_MS 3000 /* a pool may take to end its workers */
#define POLL_MS 10

static const char *const role_names[] = { "the janitor", "redis-server", "segfarm-worker" };

static void sleep_ms(int ms)
{
	poll(NULL, 0, ms);
}

static bool is_stop_pending(void)
{
	sigset_t pending;

	sigpending(&pending);
	return sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) || sigismember(&pending, SIGHUP);
}

/* --- the janitor, in our process */

/* Not proc_spawn: it must outlive us. */
static int spawn_janitor(struct farm *farm, pid_t *pid, struct err *err)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	char parent[16];
	char self[PATH_MAX];
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char option[] = "--janitor";
	char *const argv[] = { self, option, farm->dir, parent, NULL };
	sigset_t none;

	if (size < 0)
		return err_set(err, ERR_RETRY, "cannot find this program in /proc: %s", strerror(errno));
	self[size] = '\0';
	snprintf(parent, sizeof(parent), "%d", (int)getpid());
	*pid = fork();
	if (*pid < 0)
		return err_set(err, ERR_RETRY, "cannot start a process: %s", strerror(errno));
	if (*pid > 0)
		return 0;
	setsid();
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/") < 0 || close_range(0, ~0u, 0) < 0 || open("/dev/null", O_RDWR) < 0 || dup(0) < 0 || dup(0) < 0)
		_exit(127);
	execv(self, argv);
	_exit(127);
}

/* --- the janitor's own side */

static void wait_for_death(pid_t parent)
{
	int fd = (int)syscall(SYS_pidfd_open, parent, 0);
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	/* Asked after the descriptor is there: a parent that died before cannot be mistaken for a later process. */
	while (getppid() == parent)
		if (poll(&wait, fd >= 0, fd >= 0 ? -1 : 200) > 0)
			break;
}

/* Only what farm_start makes: ours, closed to others, and named like it. */
static bool is_farm_directory(const char *dir)
{
	const char *slash = strrchr(dir, '/');
	struct stat st;

	return slash && !strncmp(slash + 1, DIR_PREFIX, strlen(DIR_PREFIX)) && lstat(dir, &st) == 0 &&
	       S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077);
}

int farm_janitor(const char *dir, const char *parent)
{
	wait_for_death((pid_t)strtol(parent, NULL, 10));
	/* Children are dying at this moment and may still write: look again until it stays gone. */
	for (int i = 0; i < 20; i++) {
		if (is_farm_directory(dir))
			proc_remove_tree(dir);
		else if (i > 2)
			break;
		sleep_ms(50);
	}
	return 0;
}

/* --- children */

static int spawn_redis(struct farm *farm, pid_t *pid, struct err *err)
{
	char socket_path[FARM_DIR_MAX + 16], log_path[FARM_DIR_MAX + 16];
	const char *const argv[] = {
		"redis-server", "--port", "0", "--unixsocket", socket_path, "--unixsocketperm", "700", "--save", "",
		"--appendonly", "no", "--daemonize", "no", "--dir", farm->dir, "--logfile", log_path,
		farm->is_old_redis ? NULL : "--disable-thp", "no", NULL,
	};
	char *copy[sizeof(argv) / sizeof(argv[0])];

	snprintf(socket_path, sizeof(socket_path), "%s/redis.sock", farm->dir);
	snprintf(log_path, sizeof(log_path), "%s/redis.log", farm->dir);
	memcpy(copy, argv, sizeof(copy));
	return proc_spawn(pid, copy, -1, -1, 1, err);
}

static int spawn_pool(struct farm *farm, pid_t *pid, struct err *err)
{
	char program[PATH_MAX], count[16], credits[16];
	const char *source = farm->source ? farm->source : farm->dir; /* without one there is nothing to read: ours will do */
	bool is_url = record_is_url(source);
	const char *argv[16 + FARM_MORE_MAX + 1] = { program, "--alone", "--drain-timeout", "0", "-j", count, "--credits", credits, "--connect", farm->bus,
				 "--redis", farm->redis, is_url ? "--allow-url" : "--media-root", source };
	char *copy[sizeof(argv) / sizeof(argv[0])];
	int n = 14;

	if (is_url) /* our user named it: he may mean his own network */
		argv[n++] = "--allow-private";
	if (farm->has_hardware)
		argv[n++] = "--hardware";
	for (int i = 0; farm->more && farm->more[i] && i < FARM_MORE_MAX; i++)
		argv[n++] = farm->more[i];
	proc_sibling("segfarm-worker", program, sizeof(program));
	snprintf(count, sizeof(count), "%d", farm->n_workers);
	snprintf(credits, sizeof(credits), "%d", farm->credits);
	memcpy(copy, argv, sizeof(copy));
	return proc_spawn(pid, copy, -1, -1, 1, err);
}

static int spawn(struct farm *farm, enum farm_role role, struct err *err)
{
	pid_t *pid = &farm->children[role].pid;
	int ret;

	if (role == FARM_JANITOR)
		ret = spawn_janitor(farm, pid, err);
	else if (role == FARM_REDIS)
		ret = spawn_redis(farm, pid, err);
	else
		ret = spawn_pool(farm, pid, err);
	if (ret < 0)
		*pid = 0;
	farm->children[role].start_ms = INT64_MAX;
	return ret;
}

/* true: it does not run (any more). */
static bool reap(struct farm_child *child)
{
	int status;

	if (child->pid && waitpid(child->pid, &status, WNOHANG) == child->pid)
		child->pid = 0;
	return !child->pid;
}

static void kill_child(struct farm_child *child, int sig, int wait_ms)
{
	if (!child->pid)
		return;
	kill(child->pid, sig);
	for (int64_t end_ms = proc_now_ms() + wait_ms; !reap(child) && proc_now_ms() < end_ms;)
		sleep_ms(POLL_MS);
	if (!child->pid)
		return;
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	child->pid = 0;
}

/* Grandchildren that outlived their pool by a moment come to us (we are their subreaper): none stays a zombie. */
static void reap_orphans(const struct farm *farm, int wait_ms)
{
	int64_t end_ms = proc_now_ms() + wait_ms;
	siginfo_t info;

	for (;;) {
		bool is_ours = false;

		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
			return; /* no child at all */
		for (int i = 0; i < FARM_N_ROLES; i++)
			is_ours |= info.si_pid && farm->children[i].pid == info.si_pid;
		if (info.si_pid && !is_ours)
			waitpid(info.si_pid, NULL, 0);
		else if (is_ours || proc_now_ms() >= end_ms)
			return;
		else
			sleep_ms(POLL_MS);
	}
}

/* The last line that Redis wrote: why it did not start. */
static void read_last_line(const struct farm *farm, char line[200])
{
	char path[FARM_DIR_MAX + 16];
	FILE *file;

	snprintf(path, sizeof(path), "%s/redis.log", farm->dir);
	snprintf(line, 200, "it says nothing");
	file = fopen(path, "re");
	if (!file)
		return;
	while (fgets(line, 200, file))
		line[strcspn(line, "\n")] = '\0';
	fclose(file);
}

static int wait_for_redis(struct farm *farm, struct err *err)
{
	int64_t end_ms = proc_now_ms() + FARM_START_MS;
	struct store *store;
	char line[200];

	while (store_open(&store, farm->redis, 1000, err) < 0) {
		if (is_stop_pending())
			return err_set(err, ERR_STOPPED, "stopped by a signal");
		if (reap(&farm->children[FARM_REDIS])) {
			read_last_line(farm, line);
			return err_set(err, ERR_USAGE, "redis-server does not start: %s", line);
		}
		if (proc_now_ms() > end_ms)
			return err_set(err, ERR_USAGE, "redis-server does not answer within %d seconds",
				       FARM_START_MS / 1000);
		sleep_ms(POLL_MS);
	}
	store_close(store);
	return 0;
}

/* With huge pages it takes half as much again in a second; they are only bad for one that forks to save. Redis before 6.2 does not know the
 * option. */
static int start_redis(struct farm *farm, struct err *err)
{
	int ret;

	setenv("MALLOC_CONF", "thp:always", 0); /* jemalloc's */
	ret = spawn(farm, FARM_REDIS, err);
	if (ret >= 0)
		ret = wait_for_redis(farm, err);
	if (ret >= 0 || farm->children[FARM_REDIS].pid || farm->is_old_redis || ret == ERR_STOPPED)
		return ret;
	farm->is_old_redis = true;
	return start_redis(farm, err);
}

static int name_directory(struct farm *farm, struct err *err)
{
	const char *parent = getenv("TMPDIR");
	uint64_t name;

	if (!parent || parent[0] != '/')
		parent = "/tmp";
	if (strlen(parent) > FARM_DIR_MAX - sizeof(DIR_PREFIX) - 16)
		return err_set(err, ERR_USAGE, "TMPDIR is too long for a socket's path: %.200s", parent);
	if (getrandom(&name, sizeof(name), 0) != sizeof(name))
		return err_set(err, ERR_RETRY, "no random numbers: %s", strerror(errno));
	snprintf(farm->dir, sizeof(farm->dir), "%s/" DIR_PREFIX "%.12" PRIx64, parent, name >> 16);
	snprintf(farm->bus, sizeof(farm->bus), "ipc://%s/bus.sock", farm->dir);
	snprintf(farm->redis, sizeof(farm->redis), "unix://%s/redis.sock", farm->dir);
	return 0;
}

int farm_start(struct farm *farm, int n_workers, struct err *err)
{
	int ret;

	memset(farm, 0, sizeof(*farm));
	farm->n_workers = n_workers;
	for (int i = 0; i < FARM_N_ROLES; i++)
		farm->children[i].start_ms = INT64_MAX;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ret = name_directory(farm, err);
	if (ret >= 0) /* first: at no moment is there a directory that nobody would remove */
		ret = spawn(farm, FARM_JANITOR, err);
	if (ret >= 0 && mkdir(farm->dir, 0700) < 0)
		ret = err_set(err, ERR_USAGE, "cannot make the directory %s: %s", farm->dir, strerror(errno));
	farm->has_directory = ret >= 0;
	if (ret >= 0)
		ret = start_redis(farm, err);
	if (ret < 0)
		farm_stop(farm);
	return ret;
}

int farm_start_pool(struct farm *farm, int credits, struct err *err)
{
	farm->credits = credits;
	return spawn(farm, FARM_POOL, err);
}

/* A child is dead: when shall it come back? */
static int note_death(struct farm *farm, enum farm_role role, int64_t now_ms, struct err *err)
{
	struct farm_child *child = &farm->children[role];

	if (now_ms - child->first_death_ms > FARM_DEATHS_MS) {
		child->first_death_ms = now_ms;
		child->n_deaths = 0;
	}
	if (++child->n_deaths > FARM_DEATHS_MAX)
		return err_set(err, ERR_RETRY, "%s keeps dying", role_names[role]);
	child->start_ms = now_ms + (child->n_deaths - 1) * 100;
	if (role != FARM_JANITOR)
		log_warn("child died", "name=\"%s\" deaths=%d", role_names[role], child->n_deaths);
	return 0;
}

int farm_work(struct farm *farm, struct err *err)
{
	int64_t now_ms = proc_now_ms();
	int ret = 0;

	for (int role = 0; role < FARM_N_ROLES && ret >= 0; role++) {
		struct farm_child *child = &farm->children[role];

		if (child->pid && reap(child))
			ret = note_death(farm, (enum farm_role)role, now_ms, err);
		if (ret >= 0 && !child->pid && child->start_ms <= now_ms)
			ret = spawn(farm, (enum farm_role)role, err);
	}
	reap_orphans(farm, 0);
	return ret;
}

int64_t farm_next_ms(const struct farm *farm)
{
	int64_t next_ms = INT64_MAX;

	for (int i = 0; i < FARM_N_ROLES; i++)
		if (!farm->children[i].pid && farm->children[i].start_ms < next_ms)
			next_ms = farm->children[i].start_ms;
	return next_ms;
}

void farm_stop(struct farm *farm)
{
	kill_child(&farm->children[FARM_POOL], SIGTERM, STOP_MS);
	kill_child(&farm->children[FARM_REDIS], SIGKILL, 0);
	if (farm->has_directory)
		proc_remove_tree(farm->dir);
	farm->has_directory = false;
	kill_child(&farm->children[FARM_JANITOR], SIGKILL, 0);
	reap_orphans(farm, STOP_MS);
}
