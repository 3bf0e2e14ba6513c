/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/cli.h"

#include <check.h>

#include "dispatcher/http.h"
#include "tests/suites.h"

START_TEST(seconds_become_ticks_without_drift)
{
	static const struct {
		const char *text;
		int64_t ticks;
	} good[] = {
		{ "6", 540000 }, { "0.5", 45000 }, { ".5", 45000 }, { "600", 54000000 }, { "2.002", 180180 },
		{ "5.000001", 450000 }, { "6.006", 540540 }, { "0.700000000", 63000 }, { "10.", 900000 },
	};
	int64_t ticks;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_int_eq(cli_parse_segment_duration(good[i].text, &ticks, NULL), 0);
		ck_assert_int_eq(ticks, good[i].ticks);
	}
}
END_TEST

START_TEST(what_is_no_segment_duration_is_refused)
{
	static const char *const bad[] = {
		"",
		".",
		"0",
		"0.4",
		"0.499999999",
		"600.1",
		"601",
		"-6",
		"+6",
		"6s",
		"6,5",
		"1e2",
		"nan",
		"6.0.0",
		" 6",
		"99999999999999999999",
		"6.0000000001",
	};
	int64_t ticks;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(cli_parse_segment_duration(bad[i], &ticks, NULL), ERR_USAGE);
}
END_TEST

START_TEST(a_listen_address_is_loopback_unless_said_otherwise)
{
	static const struct {
		const char *text, *host;
		int port;
	} good[] = {
		{ "8090", "127.0.0.1", 8090 },
		{ ":0", "127.0.0.1", 0 },
		{ "0.0.0.0:80", "0.0.0.0", 80 },
		{ "[::1]:8090", "::1", 8090 },
	};
	static const char *const bad[] = { "",	      ":",	  "localhost:80", "1.2.3.4:", "1.2.3.4:65536",
					   "1.2.3:4", "1.2.3.4:x" };
	struct cli_listen listen;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_int_eq(cli_parse_listen(good[i].text, &listen, NULL), 0);
		ck_assert_str_eq(listen.host, good[i].host);
		ck_assert_int_eq(listen.port, good[i].port);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(cli_parse_listen(bad[i], &listen, NULL), ERR_USAGE);
}
END_TEST

START_TEST(a_path_is_understood_in_its_one_spelling_only)
{
	static const struct {
		const char *path;
		enum http_what what;
	} paths[] = {
		{ "/", HTTP_PAGE },
		{ "/player/0123456789abcdef", HTTP_PAGE },
		{ "/web/style.css", HTTP_PAGE },
		{ "/player/", HTTP_NOTHING },
		{ "/web/../http.c", HTTP_NOTHING },
		{ "/v1/events", HTTP_API_EVENTS },
		{ "/healthz", HTTP_HEALTH },
		{ "/hls/0123456789abcdef/master.m3u8", HTTP_MASTER },
		{ "/hls/0123456789abcdef/manifest.mpd", HTTP_MPD },
		{ "/hls/0123456789abcdef/main/index.m3u8", HTTP_MEDIA },
		{ "/hls/0123456789abcdef/main/manifest.mpd/", HTTP_NOTHING },
		{ "/hls/0123456789abcdef/main/init.mp4", HTTP_INIT },
		{ "/hls/0123456789abcdef/main/0-540000.m4s", HTTP_SEGMENT },
		{ "", HTTP_NOTHING },
		{ "/hls", HTTP_NOTHING },
		{ "/hls/", HTTP_NOTHING },
		{ "/hls/0123456789abcdef", HTTP_NOTHING },
		{ "/hls/0123456789ABCDEF/master.m3u8", HTTP_NOTHING },
		{ "/hls/0123456789abcde/master.m3u8", HTTP_NOTHING },
		{ "/hls/0123456789abcdef/../master.m3u8", HTTP_NOTHING },
		{ "/hls/0123456789abcdef//master.m3u8", HTTP_NOTHING },
		{ "/hls/0123456789abcdef/main/", HTTP_NOTHING },
		{ "/hls/0123456789abcdef/main/../main/init.mp4", HTTP_NOTHING },
		{ "/hls/0123456789abcdef/audio-2/init.mp4", HTTP_INIT },
		{ "/hls/0123456789abcdef/text-1/0-540000.vtt", HTTP_SEGMENT },
		{ "/hls/0123456789abcdef/Audio-2/init.mp4", HTTP_NOTHING },
		{ "/hls/0123456789abcdef/abcdefghijklmnopqrstuvwxyz-01234/init.mp4", HTTP_NOTHING },
		{ "/healthz/", HTTP_NOTHING },
	};
	struct http_target target;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		http_parse_path(paths[i].path, &target);
		ck_assert_msg(target.what == paths[i].what, "%s", paths[i].path);
	}
}
END_TEST

Suite *suite_cli(void)
{
	Suite *suite = suite_create("dispatcher/cli");
	TCase *tc = tcase_create("cli");

	tcase_add_test(tc, seconds_become_ticks_without_drift);
	tcase_add_test(tc, what_is_no_segment_duration_is_refused);
	tcase_add_test(tc, a_listen_address_is_loopback_unless_said_otherwise);
	tcase_add_test(tc, a_path_is_understood_in_its_one_spelling_only);
	suite_add_tcase(suite, tc);
	return suite;
}
