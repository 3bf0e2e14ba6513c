/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Real files of all kinds but Matroska, where somebody has put some.
 */
#include "tests/e2e/hls_frames.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/e2e/universal.h"
#include "tests/suites.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What may be refused, with a sentence: no codec that is known, or nothing in it that can be played. */
static const char *const refused[] = {
	"libwebm__invalid_vp9_bitstream-bug_1417.webm", "media__sample_dts_hd_across_pes.ts",	    "media__sample_mhm1_bl_cicp1.mp4",
	"media__sample_mhm1_lcbl_cicp1_fragmented.mp4",	"media__sample_mhm1_lcbl_configchange.mp4", "nestegg__bug1200148.webm",
	"nestegg__bug1480003.webm",			"nestegg__bug1539686.webm",
};

static int is_wanted(const struct dirent *e)
{
	static const char *const kinds[] = { ".mp4", ".m4a", ".mov", ".ts", ".avi", ".flv", ".webm", ".ogg", ".opus", ".ac3", ".mka", ".mpg", ".wmv" };
	const char *dot = strrchr(e->d_name, '.');

	for (size_t i = 0; dot && i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(dot, kinds[i]))
			return 1;
	return 0;
}

static bool may_be_refused(const char *name)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		if (!strcmp(name, refused[i]))
			return true;
	return false;
}

static struct dirent **real;

START_TEST(hls_of_a_real_file_is_the_file)
{
	const char *name = real[_i]->d_name;
	char source[1024], dir[1024], *out;
	struct hls h;

	snprintf(source, sizeof source, "%s/%s", media_real_dir(), name);
	snprintf(dir, sizeof dir, "%s/try", sh_scratch());
	setenv("SOURCE", source, 1);
	setenv("DIR", dir, 1);
	if (sh_status(&out, "\"$SEGFARM\" run \"$SOURCE\" -j 2 --segment-duration 2 -o \"$DIR\"")) {
		ck_assert_msg(may_be_refused(name) && strstr(out, "segfarm run: "), "%s is refused: %s", name, out);
		fprintf(stderr, "universal: %s", strstr(out, "segfarm run: "));
		free(out);
		return;
	}
	free(out);
	hls_load(&h, dir);
	hls_check(&h);
	if (hls_video(&h) && universal_is_copied_video(&h, source))
		hls_check_video(&h, source);
	else if (hls_video(&h))
		universal_check_starts(&h);
	if (hls_video(&h))
		ck_assert_msg(llabs(hls_video_lag(&h, source)) <= 90 * 24, "%s: the video lags by %lld ticks", name, (long long)hls_video_lag(&h, source));
	fprintf(stderr, "universal: %s: %zu frames of video %s, %zu of audio\n", name, hls_video(&h) ? hls_video(&h)->n_samples : 0,
		hls_video(&h) ? hls_video(&h)->entry : "", hls_audio(&h) ? hls_audio(&h)->n_samples : 0);
	hls_free(&h);
}
END_TEST

Suite *suite_universal_real(void)
{
	const char *dir = media_real_dir();
	int n = dir ? scandir(dir, &real, is_wanted, alphasort) : 0;
	Suite *s = suite_create("universal_real");
	TCase *t = tcase_create("universal_real");

	tcase_set_timeout(t, 300);
	if (n > 0)
		tcase_add_loop_test(t, hls_of_a_real_file_is_the_file, 0, n);
	else
		fprintf(stderr, "universal: no real files (SEGFARM_MEDIA): the checks with them are skipped\n");
	suite_add_tcase(s, t);
	return s;
}
