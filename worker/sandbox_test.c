/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sandbox, tried from inside. Whatever is tried does no harm where it is possible.
 */
#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_OF(a) (sizeof(a) / sizeof *(a))
#define BANS_MAX 32
#define MIB (1l << 20)

enum outcome { NOT_TRIED, POSSIBLE, REFUSED, KILLED, ALLOWED }; /* the last: it is no ban here */

struct try {
	const struct sandbox *sandbox; /* NULL: none */
	char outside[64];              /* a file in no root; "": every one is in a root */
	char new[64], old[64];         /* names of files: one that is not there, one that is */
	char *block;                   /* memory of its own, a page */
};

static volatile sig_atomic_t was_killed;

static void on_sys(int signal)
{
	(void)signal;
	was_killed = 1;
}

/* What came of a call; after a SIGSYS its value means nothing. */
static enum outcome of(long value)
{
	if (was_killed)
		return KILLED;
	return value < 0 && (errno == EPERM || errno == EACCES) ? REFUSED : POSSIBLE;
}

/* ---- the bans */

static enum outcome exec_program(const struct try *t)
{
	char *const none[] = { NULL };

	(void)t;
	return of(syscall(SYS_execve, "/no/such/program", none, none));
}

static enum outcome start_process(const struct try *t)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	(void)t;
	if (!pid)
		_exit(0);
	if (!was_killed && pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return of(pid);
}

static enum outcome start_process_again(const struct try *t)
{
	(void)t;
	return syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS && t->sandbox ? REFUSED : POSSIBLE;
}

static enum outcome open_outside(const struct try *t)
{
	return *t->outside ? of(open(t->outside, O_RDONLY | O_CLOEXEC)) : ALLOWED;
}

static enum outcome open_parent(const struct try *t)
{
	char path[64];
	int fd;

	if (!*t->outside)
		return ALLOWED;
	snprintf(path, sizeof path, "/proc/%d/environ", (int)getppid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 && errno == ENOENT ? REFUSED : of(fd); /* it waits for us: not there means hidden (hidepid, ProtectProc=) */
}

static enum outcome open_writing(const struct try *t)
{
	return of(open(t->sandbox && t->sandbox->has_devices ? "/dev/zero" : "/dev/null", O_WRONLY | O_CLOEXEC));
}

static enum outcome create_file(const struct try *t)
{
	int fd = open(t->new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0 && !was_killed)
		unlink(t->new);
	return of(fd);
}

static enum outcome make_directory(const struct try *t)
{
	int ret = mkdir(t->new, 0700);

	if (!ret && !was_killed)
		rmdir(t->new);
	return of(ret);
}

static enum outcome make_link(const struct try *t)
{
	int ret = symlink("/", t->new);

	if (!ret && !was_killed)
		unlink(t->new);
	return of(ret);
}

static enum outcome truncate_file(const struct try *t)
{
	return of(truncate(t->old, 0));
}

static enum outcome bind_socket(const struct try *t)
{
	const struct sockaddr_un any = { .sun_family = AF_UNIX };

	(void)t;
	return of(bind(socket(AF_UNIX, SOCK_STREAM, 0), (const struct sockaddr *)&any, sizeof any.sun_family));
}

static enum outcome listen_socket(const struct try *t)
{
	(void)t;
	return of(listen(socket(AF_UNIX, SOCK_STREAM, 0), 1));
}

static enum outcome trace_process(const struct try *t)
{
	(void)t;
	return of(ptrace(PTRACE_PEEKDATA, getppid(), NULL, NULL));
}

static enum outcome read_process(const struct try *t)
{
	struct iovec here = { t->block, 1 }, there = here;

	return of(syscall(SYS_process_vm_readv, getppid(), &here, 1, &there, 1, 0));
}

static enum outcome signal_process(const struct try *t)
{
	(void)t;
	return of(kill(getppid(), 0));
}

static enum outcome map_code(const struct try *t)
{
	if (t->sandbox && t->sandbox->has_devices)
		return ALLOWED;
	return of((long)(intptr_t)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static enum outcome run_written(const struct try *t)
{
	if (t->sandbox && t->sandbox->has_devices)
		return ALLOWED;
	return of(mprotect(t->block, 4096, PROT_READ | PROT_EXEC));
}

static enum outcome use_network(const struct try *t)
{
	if (t->sandbox && (t->sandbox->has_inet || t->sandbox->has_devices))
		return ALLOWED;
	return of(socket(AF_INET, SOCK_STREAM, 0));
}

static enum outcome outgrow_memory(const struct try *t)
{
	long size = (t->sandbox ? t->sandbox->memory_mib : 1) * MIB;
	void *got;

	if (!size)
		return ALLOWED;
	got = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return got == MAP_FAILED ? REFUSED : POSSIBLE;
}

static const struct ban {
	const char *what;
	enum outcome (*try)(const struct try *t);
	bool is_of_landlock;
} bans[] = {
	{ "start a program (execve)", exec_program, false },
	{ "start a process (clone)", start_process, false },
	{ "start a process (clone3)", start_process_again, false },
	{ "open a file outside the media roots", open_outside, true },
	{ "open another process' environment", open_parent, true },
	{ "open a file for writing", open_writing, false },
	{ "create a file", create_file, false },
	{ "make a directory", make_directory, false },
	{ "make a symbolic link", make_link, false },
	{ "truncate a file", truncate_file, false },
	{ "bind a socket", bind_socket, false },
	{ "listen on a socket", listen_socket, false },
	{ "trace another process (ptrace)", trace_process, false },
	{ "read another process' memory", read_process, false },
	{ "signal another process", signal_process, false },
	{ "map memory that is written and run", map_code, false },
	{ "run memory that was written", run_written, false },
	{ "open a network socket (no source or server needs one)", use_network, false },
	{ "have more memory than --memory", outgrow_memory, false },
};

/* ---- */

static bool is_outside(const struct sandbox *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0 && !(s && s->allow && !allow_path(s->allow, path, NULL));
}

static void prepare(struct try *t, const struct sandbox *s)
{
	static const char *const candidates[] = { "/etc/passwd", "/etc/fstab", "/etc/os-release" };
	int fd;

	t->sandbox = s;
	for (size_t i = 0; i < N_OF(candidates) && !*t->outside; i++)
		if (is_outside(s, candidates[i]))
			snprintf(t->outside, sizeof t->outside, "%s", candidates[i]);
	snprintf(t->new, sizeof t->new, "/tmp/segfarm-self-test.%d", (int)getpid());
	snprintf(t->old, sizeof t->old, "/tmp/segfarm-self-test.%d.old", (int)getpid());
	fd = open(t->old, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
}

/* The process inside: what came of each goes to memory that the other one has, too. */
static void run_inside(const struct try *t, unsigned char *outcomes, char *why, size_t why_size)
{
	struct err err;

	if (t->sandbox && sandbox_enter(t->sandbox, &err)) {
		snprintf(why, why_size, "%s", err.msg);
		_exit(1);
	}
	signal(SIGSYS, on_sys);
	for (size_t i = 0; i < N_OF(bans); i++) {
		was_killed = 0;
		outcomes[i] = (unsigned char)bans[i].try(t);
	}
	_exit(0);
}

static bool is_counted(const struct ban *ban, const struct sandbox *s, FILE *out)
{
	return out || !s || !ban->is_of_landlock || sandbox_landlock_version();
}

static int judge(const struct sandbox *s, const unsigned char *outcomes, FILE *out, struct err *err)
{
	static const char *const words[] = { "NOT TRIED", "POSSIBLE", "refused", "ends it (SIGSYS)", "is allowed here" };
	int ret = 0;

	for (size_t i = 0; i < N_OF(bans); i++) {
		enum outcome o = outcomes[i] < N_OF(words) ? outcomes[i] : NOT_TRIED;

		if (out)
			fprintf(out, "%-52s %s\n", bans[i].what, words[o]);
		if ((o == POSSIBLE || o == NOT_TRIED) && !ret && is_counted(&bans[i], s, out))
			ret = err_set(err, ERR_UNSUPPORTED, "the sandbox does not hold: a worker could %s", bans[i].what);
	}
	return ret;
}

int sandbox_test(const struct sandbox *s, FILE *out, struct err *err)
{
	struct try t = { 0 };
	char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	int ret;

	_Static_assert(N_OF(bans) <= BANS_MAX, "bans");
	if (shared == MAP_FAILED)
		return err_set(err, ERR_NOMEM, "out of memory");
	prepare(&t, s);
	t.block = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (!pid)
		run_inside(&t, (unsigned char *)shared, shared + BANS_MAX, 400);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	unlink(t.old);
	shared[BANS_MAX + 400] = 0;
	if (pid < 0)
		ret = err_set(err, ERR_RETRY, "cannot start another process: %s", strerror(errno));
	else if (shared[BANS_MAX])
		ret = err_set(err, ERR_UNSUPPORTED, "%s", shared + BANS_MAX);
	else
		ret = judge(s, (unsigned char *)shared, out, err);
	if (t.block != MAP_FAILED)
		munmap(t.block, 4096);
	munmap(shared, 4096);
	return ret;
}
