/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Processes: starting children that cannot outlive their parent, and the clock.
 */
#ifndef SEGFARM_COMMON_PROC_H
#define SEGFARM_COMMON_PROC_H

#include "common/err.h"

#include <stdint.h>
#include <sys/types.h>

/* fork+exec of argv (argv[0] a path, or a name looked up in PATH). In the child: SIGKILL when the parent
 * dies, default signals, empty mask, descriptors over 2 closed, stdin from /dev/null, stdout/stderr: -1 inherit, else
 * dup of that descriptor; is_session gives it a session of its own (a Ctrl-C of the terminal does not reach it).
 * Returns after exec has succeeded or failed: ERR_USAGE names the program that could not be started. */
int proc_spawn(pid_t *pid, char *const argv[], int out_fd, int err_fd, int is_session, struct err *err);

/* fork: the child calls fn(arg) and exits with what that returns. It is as proc_spawn's child, but has this program's memory
 * and none of its threads: it must not use what they share (a bus, say). Names it for ps -o comm (15 bytes). It is there at once,
 * without what linking takes, and shares the pages of what was linked. */
int proc_fork(pid_t *pid, const char *name, int (*fn)(void *arg), void *arg, struct err *err);

/* Path of program `name` beside the running executable, or just `name` (PATH) when it is not there. */
void proc_sibling(const char *name, char *path, size_t size);

/* Removes a directory tree; symbolic links are not followed. 0, or -1 with errno. */
int proc_remove_tree(const char *path);

int64_t proc_now_ms(void); /* CLOCK_MONOTONIC */
int64_t proc_now_us(void);
int64_t proc_cpu_us(void); /* CPU time of this process, all threads */

#endif
