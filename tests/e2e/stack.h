/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A farm of separate processes, as an operator starts it: Redis, `segfarm serve`, a pool. Each can be killed and started again.
 */
#ifndef SEGFARM_TESTS_E2E_STACK_H
#define SEGFARM_TESTS_E2E_STACK_H

#include "common/record.h"
#include "tests/e2e/bg.h"
#include "tests/redis_fixture.h"

#include <jansson.h>

struct stack {
	struct redis_fixture redis;
	struct bg serve, pool;
	const char *title; /* and options of serve; "": no title at first */
	int n_workers;     /* 0: no pool */
};

/* is_kept: Redis keeps what it has. */
void stack_start(struct stack *s, const char *title, int n_workers, bool is_kept);
void stack_start_serve(struct stack *s);
void stack_start_pool(struct stack *s);
/* SIGKILL, and waits for its end. */
void stack_kill(struct bg *program);
/* Ends all in good order; nothing is left. */
void stack_stop(struct stack *s);

/* `segfarm status --json`; NULL: Redis does not answer. To be given to json_decref. */
json_t *stack_status(const struct stack *s);
/* The only stream there is; NULL: there is none (now). Borrowed of the status. */
const json_t *stack_stream(const json_t *status);
bool stack_is_state(const struct stack *s, const char *state); /* of that stream */
/* "", or the state that it will not leave by itself. */
void stack_end_state(const struct stack *s, char state[16]);
/* Playlist, init segment and segments of that stream over HTTP into a new directory in the scratch directory, as `segfarm run -o`
 * writes them. The path is to be freed. */
char *stack_fetch(struct stack *s);

#endif
