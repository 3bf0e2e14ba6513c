/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/sabotage.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LATE_MS 15000 /* over what a dispatcher waits for a sign of life */

static const char *const names[] = { [SABOTAGE_CRASH] = "crash", [SABOTAGE_HANG] = "hang", [SABOTAGE_GARBAGE] = "garbage",
				     [SABOTAGE_LIE] = "lie", [SABOTAGE_LATE] = "late" };

enum sabotage sabotage_of(const struct job *job)
{
	const char *text = getenv("SEGFARM_FAULT");
	size_t n = text ? strcspn(text, ":") : 0;

	if (!n || job->type != JOB_SEGMENT || (text[n] && strtoll(text + n + 1, NULL, 10) != job->segment.start))
		return SABOTAGE_NONE;
	for (int i = SABOTAGE_CRASH; i <= SABOTAGE_LATE; i++)
		if (strlen(names[i]) == n && !memcmp(names[i], text, n))
			return (enum sabotage)i;
	return SABOTAGE_NONE;
}

static void crash(void)
{
	int *volatile nowhere = (int *)8;

	*nowhere = 1;
}

static void send_garbage(struct bus *bus)
{
	static const char *const texts[] = { "", "{", "[]", "{\"job\":-1}", "{\"job\":1e99}", "\xff\xfe" };

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		for (enum msg_verb verb = MSG_HELLO; verb <= MSG_STOP; verb++)
			if (verb != MSG_BYE && bus_send(bus, NULL, verb, (struct bytes){ (const uint8_t *)texts[i], strlen(texts[i]) }, NULL))
				return;
}

int sabotage_run(struct task *task, struct bus *bus, struct err *err)
{
	enum sabotage what = sabotage_of(task->job);
	int ret;

	if (what == SABOTAGE_CRASH)
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
