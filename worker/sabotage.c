/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/sabotage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

#define LATE_MS 15000 /* over what a dispatcher waits for a sign of life */

static const char *const names[N_SABOTAGES] = {
	[SABOTAGE_CRASH] = "crash", [SABOTAGE_CODEC] = "codec", [SABOTAGE_HANG] = "hang", [SABOTAGE_GARBAGE] = "garbage", [SABOTAGE_LIE] = "lie",
	[SABOTAGE_LATE] = "late",   [SABOTAGE_EXEC] = "exec", [SABOTAGE_OPEN] = "open",	      [SABOTAGE_WRITE] = "write",
	[SABOTAGE_LISTEN] = "listen", [SABOTAGE_TRACE] = "trace",
};

/* "START" or "START:RENDITION" */
static bool is_meant(const char *text, const struct job *job)
{
	char *rest;

	return strtoll(text, &rest, 10) == job->segment.start && (*rest != ':' || !strcmp(rest + 1, job->rendition));
}

enum sabotage sabotage_of(const struct job *job)
{
	const char *text = getenv("SEGFARM_FAULT");
	size_t n = text ? strcspn(text, ":") : 0;

	if (!n || job->type != JOB_SEGMENT || (text[n] && !is_meant(text + n + 1, job)))
		return SABOTAGE_NONE;
	for (int i = SABOTAGE_NONE + 1; i < N_SABOTAGES; i++)
		if (strlen(names[i]) == n && !memcmp(names[i], text, n))
			return i == SABOTAGE_CODEC && job->is_tolerant ? SABOTAGE_NONE : (enum sabotage)i;
	return SABOTAGE_NONE;
}

const char *sabotage_pretends(const char *what)
{
	const char *text = getenv("SEGFARM_PRETEND");
	size_t n = strlen(what);

	return text && !strncmp(text, what, n) && text[n] == ':' ? text + n + 1 : NULL;
}

void sabotage_start(void)
{
	const char *text = getenv("SEGFARM_FAULT");

	while (text && !strcmp(text, "mute"))
		pause();
}

static void crash(void)
{
	int *volatile nowhere = (int *)8;

	*nowhere = 1;
}

static void send_garbage(struct bus *bus)
{
	static const char *const texts[] = { "", "{", "[]", "{\"job\":-1}", "{\"job\":1e99}", "\xff\xfe" };

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct bytes text = { (const uint8_t *)texts[i], strlen(texts[i]) };

		for (enum msg_verb verb = MSG_HELLO; verb <= MSG_STOP; verb++)
			if (verb != MSG_BYE && bus_send(bus, NULL, verb, text, NULL))
				return;
	}
}

static int trespass(enum sabotage what, struct err *err)
{
	int ret = -1;

	errno = 0;
	if (what == SABOTAGE_EXEC)
		ret = execl("/bin/true", "true", (char *)NULL);
	else if (what == SABOTAGE_OPEN)
		ret = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	else if (what == SABOTAGE_WRITE)
		ret = open("/dev/null", O_WRONLY | O_CLOEXEC);
	else if (what == SABOTAGE_LISTEN)
		ret = listen(socket(AF_UNIX, SOCK_STREAM, 0), 1);
	else if (what == SABOTAGE_TRACE)
		ret = (int)ptrace(PTRACE_SEIZE, getppid(), NULL, NULL);
	return err_set(err, ERR_DATA, "sabotage: %s is %s (%s)", names[what], ret < 0 ? "not possible" : "possible", strerror(errno));
}

int sabotage_run(struct task *task, struct bus *bus, struct err *err)
{
	enum sabotage what = sabotage_of(task->job);
	int ret;

	if (what >= SABOTAGE_EXEC)
		return trespass(what, err);
	if (what == SABOTAGE_CRASH || what == SABOTAGE_CODEC)
		crash();
	while (what == SABOTAGE_HANG)
		pause();
	if (what == SABOTAGE_GARBAGE)
		send_garbage(bus);
	if (what != SABOTAGE_LATE)
		return 0;
	poll(NULL, 0, LATE_MS);
	ret = segment_run(task, err);
	return ret ? ret : segment_run(task, err);
}
