/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/sh.h"

#include "common/proc.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char scratch[PATH_MAX];
static pid_t scratch_owner;

static void set_program(const char *variable, const char *build, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", build, name);
	setenv(variable, path, 1);
}

/* The environment of commands; BUILD becomes absolute, so that a command may change its directory. */
static const char *build_dir(void)
{
	static char build[PATH_MAX - 64];
	const char *given = getenv("BUILD");
	char real[PATH_MAX];

	if (build[0])
		return build;
	ck_assert_msg(realpath(given ? given : "build", real), "BUILD=%s: %s", given ? given : "build", strerror(errno));
	ck_assert(strlen(real) < sizeof build);
	memcpy(build, real, strlen(real) + 1);
	setenv("BUILD", build, 1);
	set_program("SEGFARM", build, "segfarm");
	set_program("WORKER", build, "segfarm-worker");
	return build;
}

/* Output goes to memory, not through a pipe: what the command leaves running in the background does not hold us up. */
static pid_t start(const char *command, int out)
{
	pid_t pid = fork();
	int null;

	ck_assert_msg(pid >= 0, "fork: %s", strerror(errno));
	if (pid)
		return pid;
	null = open("/dev/null", O_RDONLY);
	if (dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

static char *read_whole(int fd)
{
	struct stat st;
	char *text;
	ssize_t n = 0;
	size_t size = 0;

	ck_assert_int_eq(fstat(fd, &st), 0);
	text = malloc((size_t)st.st_size + 1);
	ck_assert_ptr_nonnull(text);
	while (size < (size_t)st.st_size && (n = pread(fd, text + size, (size_t)st.st_size - size, (off_t)size)) > 0)
		size += (size_t)n;
	text[size] = 0;
	return text;
}

static int run(const char *command, char **output)
{
	int out, status;
	pid_t pid;

	build_dir();
	out = memfd_create("output", MFD_CLOEXEC);
	ck_assert_int_ge(out, 0);
	/* every writer at the end, whatever the order of stdout and stderr */
	ck_assert_int_eq(fcntl(out, F_SETFL, O_APPEND), 0);
	pid = start(command, out);
	while (waitpid(pid, &status, 0) < 0)
		ck_assert_int_eq(errno, EINTR);
	*output = read_whole(out);
	close(out);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

__attribute__((format(printf, 1, 0))) static char *command_of(const char *format, va_list args)
{
	char *command;

	ck_assert_int_ge(vasprintf(&command, format, args), 0);
	return command;
}

static void remove_scratch(void)
{
	if (getpid() == scratch_owner)
		proc_remove_tree(scratch);
}

char *sh(const char *format, ...)
{
	va_list args;
	char *command, *output;
	int status;

	va_start(args, format);
	command = command_of(format, args);
	va_end(args);
	status = run(command, &output);
	ck_assert_msg(status == 0, "status %d of: %s\n%s", status, command, output);
	free(command);
	return output;
}

int sh_status(char **out, const char *format, ...)
{
	va_list args;
	char *command, *output;
	int status;

	va_start(args, format);
	command = command_of(format, args);
	va_end(args);
	status = run(command, &output);
	free(command);
	if (out)
		*out = output;
	else
		free(output);
	return status;
}

const char *sh_build(void)
{
	return build_dir();
}

/* Check ends a process whose test failed by _exit, so that its directory stays to be looked at. */
const char *sh_scratch(void)
{
	char parent[PATH_MAX - 16];

	if (scratch_owner == getpid())
		return scratch;
	snprintf(parent, sizeof parent, "%s/scratch", build_dir());
	ck_assert(!mkdir(parent, 0777) || errno == EEXIST);
	snprintf(scratch, sizeof scratch, "%s/XXXXXX", parent);
	ck_assert_msg(mkdtemp(scratch), "%s: %s", scratch, strerror(errno));
	scratch_owner = getpid();
	ck_assert_int_eq(atexit(remove_scratch), 0);
	return scratch;
}
