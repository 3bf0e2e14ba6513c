/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Wire messages: [protocol "SF02"][verb][JSON header], carried by common/bus.
 *
 *   worker -> dispatcher   HELLO READY BEAT DONE FAIL BYE
 *   dispatcher -> worker   JOB CANCEL STOP REFUSE
 *
 * JOB's header is a struct job (record.h). Unknown verbs, versions and malformed headers are an
 * ERR_DATA: refused and logged by the receiver, never fatal.
 *
 * Versions: while a farm is updated, dispatchers first, a dispatcher also understands workers that speak the protocol before its own,
 * and speaks that to them. REFUSE, which tells another one why not, stays what it is in all versions.
 *
 *   1   without what is marked (2) below
 *   2   HELLO says what the worker is; FAIL that a job made way for another dispatcher's; JOB its rank and build (record.h)
 */
#ifndef SEGFARM_COMMON_MSG_H
#define SEGFARM_COMMON_MSG_H

#include "common/buf.h"
#include "common/err.h"
#include "common/record.h"

#define MSG_PROTOCOL 2        /* that is spoken */
#define MSG_PROTOCOL_OLDEST 1 /* of workers, that a dispatcher understands */
#define MSG_PROTOCOL_MAX 99   /* that can be written */
/* bytes of a worker's name: host-poolpid-slot-generation, [A-Za-z0-9._-]+; of one place, which is the name without the generation,
 * only the latest one lives */
#define MSG_NAME_MAX 63
#define MSG_REASON_MAX 399 /* bytes of a failure's reason */
#define MSG_VERSION_MAX 23
#define MSG_LABELS_MAX 127 /* bytes of all labels, commas between them */
#define MSG_LABEL_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"
#define MSG_LABEL_GPU "gpu" /* of workers that may use one: see queue.h */

enum msg_verb {
	MSG_HELLO, MSG_READY, MSG_BEAT, MSG_DONE, MSG_FAIL, MSG_BYE,
	MSG_JOB, MSG_CANCEL, MSG_STOP,
	MSG_REFUSE,
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
	char reason[MSG_REASON_MAX + 1];  /* FAIL, REFUSE: a sentence; HELLO: how the worker before it in its place died, or "" */
	bool is_preempted;                /* FAIL (2): it made way for another dispatcher's job */
	/* HELLO (2) */
	int format;                       /* of the plans it knows: RECORD_FORMAT; 0: it does not say */
	char build[RECORD_KEY_SIZE];      /* what decides the bytes that it encodes: build.h of the worker; "" not known */
	char version[MSG_VERSION_MAX + 1];
	char labels[MSG_LABELS_MAX + 1];  /* "gpu,basement"; "" none */
};
int msg_put(const struct msg *m, struct buf *json);
/* Whether a label is among those. */
bool msg_has_label(const char *labels, const char *label);
int msg_get(enum msg_verb verb, struct bytes json, struct msg *m, struct err *err);

#endif
