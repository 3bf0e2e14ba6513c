/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/proc.h"
#include "tests/suites.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct err err;

/* Runs a shell command; what it wrote to stdout, in static memory. */
static const char *shell(const char *command, int is_session)
{
	static char text[4096];
	char copy[512];
	int fds[2];
	size_t n = 0;
	ssize_t got;
	pid_t pid;
	snprintf(copy, sizeof(copy), "%s", command);
	char *argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, copy, NULL };
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_msg(!proc_spawn(&pid, argv, fds[1], -1, is_session, &err), "%s", err.msg);
	close(fds[1]);
	while ((got = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	close(fds[0]);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	text[n] = 0;
	return text;
}

START_TEST(program_that_does_not_exist_is_named)
{
	char *argv[] = { (char[]){ "/nowhere/segfarm-worker" }, NULL };
	pid_t pid;
	ck_assert_int_eq(proc_spawn(&pid, argv, -1, -1, 0, &err), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, "/nowhere/segfarm-worker") != NULL, "%s", err.msg);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no zombie */
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(child_inherits_nothing_but_three_descriptors)
{
	int leak = open("/dev/null", O_RDONLY); /* on purpose without O_CLOEXEC */
	ck_assert_int_ge(leak, 3);
	ck_assert_str_eq(shell("ls /proc/$$/fd; exit", 0), "0\n1\n2\n");
	ck_assert_str_eq(shell("readlink /proc/$$/fd/0", 0), "/dev/null\n");
	close(leak);
}
END_TEST

START_TEST(child_has_default_signals_and_an_empty_mask)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* bits 31 and 32 are the C library's own signals: a posix_spawn on the way here may have set them to be ignored */
	ck_assert_str_eq(shell("grep -c -E 'Sig(Blk|Ign):.0000000[01][08]0000000' /proc/self/status", 0), "2\n");
}
END_TEST

START_TEST(session_is_a_new_one_when_asked_for)
{
	char own[32];
	snprintf(own, sizeof(own), "%d\n", (int)getsid(0));
	ck_assert_str_eq(shell("cut -d' ' -f6 /proc/$$/stat", 0), own);
	ck_assert_str_ne(shell("cut -d' ' -f6 /proc/$$/stat", 1), own);
}
END_TEST

START_TEST(child_dies_with_its_parent)
{
	int fds[2];
	char byte;
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	pid_t parent = fork();
	if (parent == 0) {
		char *argv[] = { (char[]){ "sleep" }, (char[]){ "1000" }, NULL };
		pid_t pid;
		_exit(proc_spawn(&pid, argv, fds[1], -1, 1, NULL) ? 1 : 0);
	}
	close(fds[1]);
	ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
	/* The pipe ends when sleep, its last writer, is dead. */
	ck_assert_int_eq(read(fds[0], &byte, 1), 0);
	close(fds[0]);
}
END_TEST

static int tell(void *arg)
{
	char name[16] = "", in[32];
	ssize_t n = readlink("/proc/self/fd/0", in, sizeof(in));
	sigset_t set;
	prctl(PR_GET_NAME, name);
	sigprocmask(SIG_BLOCK, NULL, &set);
	for (int fd = 3; fd < 100; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			_exit(1);
	_exit(strcmp(name, "a-fork") || n != 9 || memcmp(in, "/dev/null", 9) || sigismember(&set, SIGTERM) ? 2 : *(int *)arg);
}

START_TEST(fork_has_a_name_and_nothing_of_its_parent)
{
	int leak = open("/dev/zero", O_RDONLY), status, arg = 42;
	sigset_t set;
	pid_t pid;
	ck_assert_int_ge(leak, 3);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ck_assert_int_eq(proc_fork(&pid, "a-fork", tell, &arg, &err), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 42);
	close(leak);
}
END_TEST

static int wait_long(void *arg)
{
	(void)arg;
	return (int)sleep(1000);
}

START_TEST(fork_dies_with_its_parent)
{
	pid_t parent, pid, *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	parent = fork();
	if (parent == 0)
		_exit(proc_fork(shared, "a-fork", wait_long, NULL, NULL) ? 1 : 0);
	ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
	pid = *shared;
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid); /* it has become ours, and ends */
	munmap(shared, sizeof *shared);
}
END_TEST

START_TEST(tree_is_removed_and_links_are_not_followed)
{
	char dir[] = "/tmp/segfarm-test.XXXXXX", command[512];
	struct stat st;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(command, sizeof(command), "cd %s && mkdir -p keep tree/a/b && touch keep/x tree/a/y && ln -s ../keep tree/l",
		 dir);
	shell(command, 0);
	snprintf(command, sizeof(command), "%s/tree", dir);
	ck_assert_int_eq(proc_remove_tree(command), 0);
	ck_assert_int_eq(stat(command, &st), -1);
	snprintf(command, sizeof(command), "%s/keep/x", dir);
	ck_assert_int_eq(stat(command, &st), 0);
	ck_assert_int_eq(proc_remove_tree(dir), 0);
	ck_assert_int_eq(proc_remove_tree(dir), -1);
}
END_TEST

START_TEST(sibling_that_is_not_there_is_looked_up_in_path)
{
	char path[4096];
	proc_sibling("no-such-program-beside-us", path, sizeof(path));
	ck_assert_str_eq(path, "no-such-program-beside-us");
}
END_TEST

Suite *suite_proc(void)
{
	Suite *s = suite_create("common/proc");
	TCase *t = tcase_create("proc");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, program_that_does_not_exist_is_named);
	tcase_add_test(t, child_inherits_nothing_but_three_descriptors);
	tcase_add_test(t, child_has_default_signals_and_an_empty_mask);
	tcase_add_test(t, session_is_a_new_one_when_asked_for);
	tcase_add_test(t, child_dies_with_its_parent);
	tcase_add_test(t, fork_has_a_name_and_nothing_of_its_parent);
	tcase_add_test(t, fork_dies_with_its_parent);
	tcase_add_test(t, tree_is_removed_and_links_are_not_followed);
	tcase_add_test(t, sibling_that_is_not_there_is_looked_up_in_path);
	suite_add_tcase(s, t);
	return s;
}
