/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The programs of a farm, each as an operator starts it. Media of tests are in the roots of all.
 */
#ifndef SEGFARM_TESTS_E2E_PROGRAMS_H
#define SEGFARM_TESTS_E2E_PROGRAMS_H

#include "tests/e2e/bg.h"
#include "tests/redis_fixture.h"

/* A port of 127.0.0.1 on which nobody listens now; programs do not tell which port of the bus they got. */
int programs_free_port(void);
/* `segfarm serve` with more options and FILEs, on any free port unless they name one, for workers at bus.sock in its TMPDIR. */
void programs_start_serve(struct bg *serve, const struct redis_fixture *redis, const char *arguments);
/* And waits until it serves. */
void programs_serve(struct bg *serve, const struct redis_fixture *redis, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* n workers for it, with more options. */
void programs_pool(struct bg *pool, const struct redis_fixture *redis, const struct bg *serve, int n, const char *options);
/* Ends it in good order, if it runs: nothing is left. */
void programs_end(struct bg *program);

#endif
