/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Dispatcher and Redis on one host, workers on another, with keys, over a bad cable: the title is made, and not a byte is another.
 */
#include "tests/e2e/bg.h"
#include "tests/e2e/cable.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE                                                                                                         \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=160:90\" -f lavfi -i \"$A\" -t 120 -c:v libx264 -preset " \
	"ultrafast -bf 2 -g 48 -c:a ac3 -b:a 448k \"$OUT\""
#define CURL "curl -sS --max-time 100 --path-as-is"

static const char *title; /* 20 segments */
static char *reference;   /* what -o writes when nobody disturbs */

static void make_reference(void)
{
	title = media_make("farm.mkv", TITLE);
	ck_assert_int_ge(asprintf(&reference, "%s/network-reference", sh_scratch()), 0);
	free(sh("$SEGFARM run '%s' -o '%s'; ls '%s/main' | grep -c m4s | grep -qx 20", title, reference, reference));
}

struct hosts {
	struct cable cable;
	struct bg redis, serve, pool, other;
};

static void start_pool(struct hosts *h, struct bg *pool, const char *where)
{
	bg_open(pool);
	bg_start(pool,
		 "%s \"$WORKER\" -j 2 --media-root \"$BUILD\" --redis redis://:secret@" CABLE_HERE ":6379 --connect tcp://" CABLE_HERE ":5555 "
		 "--keys %s/worker --dispatcher-key %s/dispatcher.pub",
		 where, h->serve.dir, h->serve.dir);
}

/* With the name of a shell's file that is the other host's network. */
static void start_there(struct hosts *h)
{
	char enter[100];

	snprintf(enter, sizeof enter, "nsenter --net=%s", h->cable.there);
	start_pool(h, &h->pool, enter);
}

static void start_here(struct hosts *h)
{
	bg_open(&h->redis);
	bg_open(&h->serve);
	bg_start(&h->redis, "redis-server --bind " CABLE_HERE " --port 6379 --requirepass secret --save '' --appendonly no --dir %s",
		 h->redis.tmp);
	bg_wait_log(&h->redis, "Ready to accept connections", 1);
	free(sh("cd %s && \"$SEGFARM\" keygen dispatcher && \"$SEGFARM\" keygen worker && cp worker.pub allowed", h->serve.dir));
	bg_start(&h->serve,
		 "\"$SEGFARM\" serve --redis redis://:secret@" CABLE_HERE ":6379 --bind tcp://" CABLE_HERE ":5555 --keys %s/dispatcher "
		 "--allow-workers %s/allowed --listen 127.0.0.1:0 -v '%s'",
		 h->serve.dir, h->serve.dir, title);
	bg_wait_log(&h->serve, "serving 1 streams", 1);
}

static void stop(struct bg *b, int sig)
{
	if (!b->pid)
		return;
	kill(b->pid, sig);
	ck_assert_msg(bg_wait(b) == 0, "%s", bg_tail(b));
	bg_check_clean(b);
	bg_close(b);
}

static void check_title(struct hosts *h)
{
	char *base = bg_log_after(&h->serve, "playlist: ");

	base[strcspn(base, " ")] = 0;
	*strstr(base, "/master.m3u8") = 0;
	free(sh("cd '%s' && for f in master.m3u8 main/*; do " CURL " -f '%s'/$f | cmp - $f || exit 1; done", reference, base));
	free(base);
}

/* Everything that is wrong with the cable is so from the third job on. */
static const struct {
	const char *name;
	int cut_ms; /* -1: for good */
	int delay_ms, loss_permille, kbit_per_s;
} faults[] = {
	{ .name = "none" },
	{ .name = "cut for 1 s", .cut_ms = 1000 },
	{ .name = "cut for 10 s", .cut_ms = 10000 },
	{ .name = "cut for 20 s", .cut_ms = 20000 },
	{ .name = "cut for good", .cut_ms = -1 },
	{ .name = "200 ms delay", .delay_ms = 200 },
	{ .name = "5 % loss", .loss_permille = 50 },
	{ .name = "1 Mbit/s", .kbit_per_s = 1000 },
};

START_TEST(title_is_made_over_a_bad_cable_byte_for_byte)
{
	struct hosts h = { 0 };
	int64_t start_ms, mended_ms;
	char *log;

	if (!cable_open(&h.cable))
		return;
	start_here(&h);
	start_there(&h);
	bg_wait_log(&h.serve, "job done", 2);
	start_ms = mended_ms = proc_now_ms();
	h.cable.faults->delay_ms = faults[_i].delay_ms;
	h.cable.faults->loss_permille = faults[_i].loss_permille;
	h.cable.faults->kbit_per_s = faults[_i].kbit_per_s;
	h.cable.faults->is_cut = faults[_i].cut_ms;
	if (faults[_i].cut_ms < 0)
		start_pool(&h, &h.other, "");
	if (faults[_i].cut_ms > 0) {
		bg_sleep(faults[_i].cut_ms);
		h.cable.faults->is_cut = false;
		mended_ms = proc_now_ms();
	}
	bg_wait_log(&h.serve, "state=done", 1);
	fprintf(stderr, "cable: %s: done after %lld ms, %lld after it was well again\n", faults[_i].name,
		(long long)(proc_now_ms() - start_ms), (long long)(proc_now_ms() - mended_ms));
	check_title(&h);
	log = bg_log(&h.serve);
	ck_assert_msg(!strstr(log, "quarantined"), "%s", bg_tail(&h.serve));
	free(log);
	stop(&h.pool, SIGTERM);
	stop(&h.other, SIGTERM);
	stop(&h.serve, SIGINT);
	stop(&h.redis, SIGTERM);
	kill(h.cable.pid, SIGKILL);
}
END_TEST

Suite *suite_network(void)
{
	Suite *s = suite_create("network");
	TCase *t = tcase_create("network");

	tcase_set_timeout(t, 300);
	tcase_add_unchecked_fixture(t, make_reference, NULL);
	tcase_add_loop_test(t, title_is_made_over_a_bad_cable_byte_for_byte, 0, sizeof faults / sizeof *faults);
	suite_add_tcase(s, t);
	return s;
}
