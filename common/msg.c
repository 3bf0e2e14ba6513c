/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/msg.h"

#include "common/json.h"

#include <string.h>

#define CREDITS_MAX 1024
#define JSON_MAX 65536 /* bytes of a small header */
#define VERSION_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+~-"
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

enum field {
	HAS_NAME = 1 << 0,
	HAS_PID = 1 << 1,
	HAS_CREDITS = 1 << 2,
	HAS_JOB = 1 << 3,
	HAS_PROGRESS = 1 << 4,
	HAS_TIMES = 1 << 5, /* elapsed_us, cpu_us, bytes */
	HAS_CODE = 1 << 6,
	HAS_REASON = 1 << 7,
	HAS_RECORD = 1 << 8, /* not a struct msg */
	HAS_KILLED = 1 << 9,
	HAS_SELF = 1 << 10, /* format, build, version, labels; may be left out */
	HAS_PREEMPTED = 1 << 11, /* may be left out */
};

static const struct {
	const char *name;
	unsigned fields;
	int64_t job_min; /* smallest job id: 0 where "idle" is an answer */
} verbs[] = {
	[MSG_HELLO] = { "HELLO", HAS_NAME | HAS_PID | HAS_JOB | HAS_KILLED | HAS_REASON | HAS_SELF, 0 },
	[MSG_READY] = { "READY", HAS_CREDITS, 0 },
	[MSG_BEAT] = { "BEAT", HAS_JOB | HAS_PROGRESS, 0 },
	[MSG_DONE] = { "DONE", HAS_JOB | HAS_TIMES, 1 },
	[MSG_FAIL] = { "FAIL", HAS_JOB | HAS_CODE | HAS_REASON | HAS_PREEMPTED, 1 },
	[MSG_BYE] = { "BYE", 0, 0 },
	[MSG_JOB] = { "JOB", HAS_RECORD, 0 },
	[MSG_CANCEL] = { "CANCEL", HAS_JOB, 1 },
	[MSG_STOP] = { "STOP", 0, 0 },
	[MSG_REFUSE] = { "REFUSE", HAS_REASON, 0 },
};
#define N_VERBS ((int)(sizeof(verbs) / sizeof(verbs[0])))

const char *msg_verb_name(enum msg_verb verb)
{
	ASSERT((int)verb >= 0 && (int)verb < N_VERBS);
	return verbs[verb].name;
}

int msg_verb_from_name(struct bytes name)
{
	for (int i = 0; i < N_VERBS; i++)
		if (strlen(verbs[i].name) == name.size && !memcmp(verbs[i].name, name.data, name.size))
			return i;
	return -1;
}

bool msg_has_label(const char *labels, const char *label)
{
	size_t n;

	for (; *labels; labels += n + (labels[n] == ',')) {
		n = strcspn(labels, ",");
		if (n == strlen(label) && !memcmp(labels, label, n))
			return true;
	}
	return false;
}

static void put_self(struct buf *json, const struct msg *m)
{
	jput_int(json, "format", m->format);
	jput_str(json, "build", m->build);
	jput_str(json, "version", m->version);
	jput_str(json, "labels", m->labels);
}

int msg_put(const struct msg *m, struct buf *json)
{
	unsigned has = verbs[m->verb].fields;
	size_t start = json->size;
	ASSERT(!(has & HAS_RECORD));
	jput_begin(json);
	if (has & HAS_NAME)
		jput_str(json, "name", m->name);
	if (has & HAS_PID)
		jput_int(json, "pid", m->pid);
	if (has & HAS_CREDITS)
		jput_int(json, "credits", m->credits);
	if (has & HAS_JOB)
		jput_int(json, "job", m->job);
	if (has & HAS_KILLED)
		jput_bool(json, "killed", m->is_killed);
	if (has & HAS_PROGRESS)
		jput_int(json, "progress", m->progress);
	if (has & HAS_TIMES) {
		jput_int(json, "elapsed_us", m->elapsed_us);
		jput_int(json, "cpu_us", m->cpu_us);
		jput_int(json, "bytes", m->bytes);
	}
	if (has & HAS_CODE)
		jput_str(json, "code", err_code_name(m->code));
	if (has & HAS_REASON)
		jput_str(json, "reason", m->reason);
	if (has & HAS_PREEMPTED && m->is_preempted)
		jput_bool(json, "preempted", true);
	if (has & HAS_SELF && m->format)
		put_self(json, m);
	jput_close(json, '}');
	return jput_result(json, start, JSON_MAX);
}

static void get_name(struct jget *g, struct msg *m)
{
	jget_str(g, "name", m->name, sizeof(m->name), NAME_CHARS);
	if (!m->name[0])
		jget_fail(g, "name", "is empty");
}

static void get_code(struct jget *g, struct msg *m)
{
	char name[16];
	jget_str(g, "code", name, sizeof(name), NULL);
	m->code = err_code_from_name(name);
}

static void get_self(struct jget *g, struct msg *m)
{
	m->format = (int)jget_int(g, "format", 1, INT32_MAX);
	jget_str(g, "build", m->build, sizeof(m->build), "0123456789abcdef");
	jget_str(g, "version", m->version, sizeof(m->version), VERSION_CHARS);
	jget_str(g, "labels", m->labels, sizeof(m->labels), MSG_LABEL_CHARS ",");
}

static void get_fields(struct jget *g, struct msg *m)
{
	unsigned has = verbs[m->verb].fields;
	if (has & HAS_NAME)
		get_name(g, m);
	if (has & HAS_PID)
		m->pid = jget_int(g, "pid", 1, INT32_MAX);
	if (has & HAS_CREDITS)
		m->credits = (int)jget_int(g, "credits", 1, CREDITS_MAX);
	if (has & HAS_JOB)
		m->job = jget_int(g, "job", verbs[m->verb].job_min, INT64_MAX - 1);
	if (has & HAS_KILLED)
		m->is_killed = jget_bool(g, "killed");
	if (has & HAS_PROGRESS)
		m->progress = jget_int(g, "progress", 0, INT64_MAX - 1);
	if (has & HAS_TIMES) {
		m->elapsed_us = jget_int(g, "elapsed_us", 0, INT64_MAX - 1);
		m->cpu_us = jget_int(g, "cpu_us", 0, INT64_MAX - 1);
		m->bytes = jget_int(g, "bytes", 0, INT64_MAX - 1);
	}
	if (has & HAS_CODE)
		get_code(g, m);
	if (has & HAS_REASON)
		jget_str(g, "reason", m->reason, sizeof(m->reason), NULL);
	if (has & HAS_PREEMPTED && jget_has(g, "preempted"))
		m->is_preempted = jget_bool(g, "preempted");
	if (has & HAS_SELF && jget_has(g, "format"))
		get_self(g, m);
}

int msg_get(enum msg_verb verb, struct bytes json, struct msg *m, struct err *err)
{
	*m = (struct msg){ .verb = verb };
	if (verbs[verb].fields & HAS_RECORD)
		return err_set(err, ERR_DATA, "%s carries a record", verbs[verb].name);
	json_t *root;
	int rc = jget_parse(&root, json, JSON_MAX, verbs[verb].name, err);
	if (rc)
		return rc;
	struct jget g = jget_begin(root, verbs[verb].name, err);
	get_fields(&g, m);
	rc = jget_end(&g);
	json_decref(root);
	return rc;
}
