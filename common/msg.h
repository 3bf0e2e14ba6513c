/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Wire messages: [protocol "SF01"][verb][JSON header], carried by common/bus.
 *
 *   worker -> dispatcher   HELLO READY BEAT DONE FAIL BYE
 *   dispatcher -> worker   JOB CANCEL STOP
 *
 * JOB's header is a struct job (record.h). Unknown verbs, versions and malformed headers are an
 * ERR_DATA: refused and logged by the receiver, never fatal.
 */
#ifndef SEGFARM_COMMON_MSG_H
#define SEGFARM_COMMON_MSG_H

#include "common/buf.h"
#include "common/err.h"
#include "common/record.h"

#define MSG_PROTOCOL "SF01"
/* bytes of a worker's name: host-poolpid-slot-generation, [A-Za-z0-9._-]+; of one place, which is the name without the generation,
 * only the latest one lives */
#define MSG_NAME_MAX 63
#define MSG_REASON_MAX 399 /* bytes of a failure's reason */

enum msg_verb {
	MSG_HELLO, MSG_READY, MSG_BEAT, MSG_DONE, MSG_FAIL, MSG_BYE,
	MSG_JOB, MSG_CANCEL, MSG_STOP,
};
const char *msg_verb_name(enum msg_verb verb);
/* < 0: no such verb. */
int msg_verb_from_name(struct bytes name);

#define MSG_JOB_OTHER (INT64_MAX - 1) /* in BEAT: a job of another dispatcher */

/* One struct for all small headers; only the fields named for a verb are written and read. */
struct msg {
	enum msg_verb verb;
	char name[MSG_NAME_MAX + 1];      /* HELLO */
	int64_t pid;                      /* HELLO */
	int credits;                      /* READY: how many jobs more it can take, 1 to 1024 */
	/* BEAT (0: idle), DONE, FAIL, CANCEL: job id; HELLO: that of the job in the hands of the worker before it in its place when
	 * that died, as the pool knows it; 0: none, or not known */
	int64_t job;
	bool is_killed;                   /* HELLO: it died of a signal from outside: no job is to blame */
	int64_t progress;                 /* BEAT: counter of the work loop */
	int64_t elapsed_us, cpu_us;       /* DONE: wall and CPU time of the job */
	int64_t bytes;                    /* DONE: bytes stored */
	int code;                         /* FAIL: enum err_code */
	char reason[MSG_REASON_MAX + 1];  /* FAIL: a sentence; HELLO: how the worker before it in its place died, or "" */
};
int msg_put(const struct msg *m, struct buf *json);
int msg_get(enum msg_verb verb, struct bytes json, struct msg *m, struct err *err);

#endif
