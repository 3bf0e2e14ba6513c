/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sandbox: what a process that is about to read media gives up, for good. It can then read the media roots and what it has open,
 * and speak to servers that it connects to; it cannot write files, start programs or processes, listen, or look into others.
 *
 * Two fences stand behind each other, so that one of them is left where the kernel lacks the other: Landlock (which files) and
 * seccomp (which system calls). A call that no codec has a reason for ends the process by SIGSYS: starting programs or processes,
 * ptrace, bind, listen, mount and their kin. Everything else that is not needed fails with EPERM, which libraries take for a system
 * that is a little poor.
 */
#ifndef SEGFARM_WORKER_SANDBOX_H
#define SEGFARM_WORKER_SANDBOX_H

#include "common/allow.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What is left to it. */
struct sandbox {
	const struct allow *allow; /* whose roots may be read; NULL: nothing may be opened */
	bool has_unix, has_inet;   /* kinds of sockets that it may connect */
	/* GPUs and the drivers' files: code of drivers is loaded, and far more is left */
	bool has_devices;
	int memory_mib;            /* of its own, mapped files do not count; 0: any */
};

/* From here on. The process has one thread. ERR_UNSUPPORTED: this kernel or container lacks what it takes; the sentence has the
 * way out. */
int sandbox_enter(const struct sandbox *s, struct err *err);
/* Of a worker: nothing in it is for those who parse media. SEGFARM_* stays. */
void sandbox_forget_environment(void);
/* A sentence about what it lacks that is done without, and what follows; NULL: nothing. */
const char *sandbox_lack(void);

/* Tries, in a process of its own in that sandbox (NULL: in none), what must not be possible: a line each to `out`. ERR_UNSUPPORTED:
 * something is; err tells what. out NULL: no lines, and what is possible for the reason that sandbox_lack tells is passed over. */
int sandbox_test(const struct sandbox *s, FILE *out, struct err *err);

/* ---- the parts of it; ERR_ codes */

int sandbox_landlock_version(void); /* 0: there is none */
int sandbox_enter_landlock(const struct sandbox *s, struct err *err);
int sandbox_enter_seccomp(const struct sandbox *s, struct err *err);
/* The name of a system call's number, "a call" if it has none; lives until the next call. */
const char *sandbox_call_name(int number);

/* Sanitizers read and write what they like. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANDBOX_IS_OFF 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANDBOX_IS_OFF 1
#endif
#endif
#ifndef SANDBOX_IS_OFF
#define SANDBOX_IS_OFF 0
#endif

#endif
