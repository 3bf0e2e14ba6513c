/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One segment that crashes its codec: what becomes of it, and of the rest.
 */
#include "tests/e2e/cluster.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE                                                                                                             \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=320:180\" -f lavfi -i \"$A\" -t 60 -c:v libx264 -preset ultrafast " \
	"-bf 2 -g 48 -c:a ac3 \"$OUT\""
#define SEGMENTS 10
#define BAD "1080450-540000.m4s" /* the third */
#define BAD_START "1080450"

static const char *title;
static char *reference;
static struct cluster s;
static char *key, *options;

static void make_reference(void)
{
	title = media_make("quarantine.mkv", TITLE);
	ck_assert_int_ge(asprintf(&reference, "%s/reference", sh_scratch()), 0);
	free(sh("$SEGFARM run '%s' -o '%s' && test -s '%s/main/" BAD "'", title, reference, reference));
}

static void start(const char *fault)
{
	setenv("SEGFARM_FAULT", fault, 1);
	ck_assert_int_ge(asprintf(&options, "'%s'", title), 0);
	cluster_open(&s);
	cluster_serve(&s, 0, options);
	key = cluster_key(&s, 0);
	cluster_pool(&s, 0, 2);
	unsetenv("SEGFARM_FAULT");
}

static void end(void)
{
	cluster_close(&s);
	free(key);
	free(options);
}

static long n_made(void)
{
	return cluster_redis(&s, "HLEN segfarm:{%s}:segs:main", key);
}

static int get(const char *name)
{
	char path[200], file[64];

	snprintf(path, sizeof path, "/hls/%s/main/%s", key, name);
	snprintf(file, sizeof file, "%s/got", s.serve[0].dir);
	return cluster_get(&s, 0, path, file);
}

/* Every file but the bad one is the reference's. */
static void check_rest(const char *but)
{
	free(sh("cd '%s/main' && for f in *.m4s; do [ $f = '%s' ] || curl -sSf --max-time 100 '%s/hls/%s/main/'$f | cmp - $f || exit 1; "
		"done",
		reference, but, s.root[0], key));
}

static void check_told(void)
{
	char *out;

	ck_assert_int_eq(cluster_admin(&s, &out, "status", key), 0);
	ck_assert_msg(strstr(out, "partial") && strstr(out, "quarantined: " BAD_START "-540000 after 3 attempts") &&
			      strstr(out, "signal 11"),
		      "%s", out);
	free(out);
	ck_assert_int_eq(get("index.m3u8"), 200);
	free(sh("grep -A2 -x '#EXT-X-GAP' '%s/got' | tail -n 1 | grep -qx '" BAD "' && test $(grep -c GAP '%s/got') = 1",
		s.serve[0].dir, s.serve[0].dir));
}

START_TEST(segment_that_crashes_every_worker_is_quarantined_and_the_rest_is_complete)
{
	start("crash:" BAD_START);
	bg_wait_until(cluster_redis(&s, "HLEN segfarm:{%s}:fails", key) == 1, "not given up");
	bg_wait_until(n_made() == SEGMENTS - 1, "%ld made", n_made());
	ck_assert_int_eq(get(BAD), 200); /* nothing but a head: older playlists still name it */
	free(sh("test $(stat -c %%s '%s/got') = 24 && head -c 12 '%s/got' | tail -c 8 | grep -qx stypmsdh", s.serve[0].dir, s.serve[0].dir));
	check_rest(BAD);
	check_told();
	/* it is not forgotten with the dispatcher */
	kill(s.serve[0].pid, SIGKILL);
	bg_wait(&s.serve[0]);
	cluster_serve(&s, 0, options);
	check_told();
	/* whoever mends the cause has it tried again */
	kill(s.pool[0].pid, SIGTERM);
	bg_wait(&s.pool[0]);
	cluster_pool(&s, 0, 1);
	ck_assert_int_eq(cluster_admin(&s, NULL, "retry", key), 0);
	bg_wait_until(n_made() == SEGMENTS, "not made after all");
	check_rest("none");
	ck_assert_int_eq(get("index.m3u8"), 200);
	free(sh("cmp '%s/got' '%s/main/index.m3u8'", s.serve[0].dir, reference));
	end();
}
END_TEST

START_TEST(last_attempt_does_without_what_crashes)
{
	start("codec:" BAD_START);
	bg_wait_until(n_made() == SEGMENTS, "%ld made", n_made());
	ck_assert_int_eq(cluster_redis(&s, "EXISTS segfarm:{%s}:fails", key), 0);
	check_rest(BAD);
	/* its pictures are those of the reference, and its sound, as long, is silence */
	ck_assert_int_eq(get(BAD), 200);
	free(sh("cd '%s' && cat '%s/main/init.mp4' got > got.mp4 && cat '%s/main/init.mp4' '%s/main/" BAD "' > whole.mp4 && "
		"for f in got whole; do ffmpeg -v error -i $f.mp4 -map 0:v -c copy -f framemd5 $f.v && "
		"ffprobe -v error -select_streams a -show_entries packet=pts,duration -of csv $f.mp4 > $f.a; done && "
		"cmp got.v whole.v && cmp got.a whole.a && ! cmp -s got whole.mp4 && "
		"ffmpeg -nostdin -i got.mp4 -map 0:a -af volumedetect -f null - 2>&1 | grep -q 'max_volume: -[6-9][0-9]'; "
		"r=$?; rm -f got.* whole.*; exit $r",
		s.serve[0].dir, reference, reference, reference));
	end();
}
END_TEST

START_TEST(output_into_files_has_a_gap_and_says_so)
{
	char *out;

	ck_assert_int_eq(sh_status(&out, "SEGFARM_FAULT=crash:" BAD_START " $SEGFARM run '%s' -o '%s/partial'", title, sh_scratch()), 1);
	ck_assert_msg(strstr(out, "1 of 10 segments could not be made, the rest is there; segment 3 of 10"), "%s", out);
	free(sh("cd '%s/partial/main' && test $(ls *.m4s | wc -l) = 9 && grep -A2 -x '#EXT-X-GAP' index.m3u8 | grep -qx '" BAD "'",
		sh_scratch()));
	free(out);
}
END_TEST

Suite *suite_quarantine(void)
{
	Suite *suite = suite_create("quarantine");
	TCase *t = tcase_create("quarantine");

	tcase_add_unchecked_fixture(t, make_reference, NULL);
	tcase_set_timeout(t, 300);
	tcase_add_test(t, segment_that_crashes_every_worker_is_quarantined_and_the_rest_is_complete);
	tcase_add_test(t, last_attempt_does_without_what_crashes);
	tcase_add_test(t, output_into_files_has_a_gap_and_says_so);
	suite_add_tcase(suite, t);
	return suite;
}
