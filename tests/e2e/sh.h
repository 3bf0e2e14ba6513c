/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Commands of the system for tests. Each runs under `sh -c` with BUILD, SEGFARM and WORKER (the two programs) set.
 */
#ifndef SEGFARM_TESTS_E2E_SH_H
#define SEGFARM_TESTS_E2E_SH_H

/* Runs it; the test fails, with the output, when the status is not 0. Returns stdout + stderr, to be freed. */
char *sh(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Runs it; returns the exit status (128 + signal when killed). *out (may be NULL): stdout + stderr, to be freed. */
int sh_status(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A fresh directory for this test process; removed with all that is in it when the test ends well. */
const char *sh_scratch(void);
/* $BUILD, absolute. */
const char *sh_build(void);

#endif
