/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Jobs for tests and benchmarks that run them in their own process, without a dispatcher. ERR_ codes, err is filled.
 */
#ifndef SEGFARM_TESTS_JOBS_H
#define SEGFARM_TESTS_JOBS_H

#include "worker/task.h"

#define JOBS_STREAM "0123456789abcdef"

/* The probe job of a file, in the stream JOBS_STREAM, with the default options. */
int jobs_probe(struct job *job, const char *path, struct err *err);
/* What a probe job has stored. */
int jobs_index(struct store *store, const struct job *probe, struct index *index, struct err *err);
/* The plan that follows from it, which is stored too, as segment jobs need it. */
int jobs_plan(struct store *store, const struct job *probe, struct plan *plan, struct err *err);

/* A task's tick: go on. */
int jobs_tick(struct task *task, struct err *err);

#endif
