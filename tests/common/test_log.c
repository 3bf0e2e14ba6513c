/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log.h"
#include "tests/suites.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a strict reader makes of key=value pairs: an object of strings; NULL: it is none. */
static json_t *read_pairs(const char *line)
{
	json_t *object = json_object();

	while (*line) {
		size_t n = strcspn(line, "= \"");
		char key[100], value[LOG_LINE_MAX];
		size_t size = 0;

		if (!n || line[n] != '=')
			goto wrong;
		snprintf(key, sizeof(key), "%.*s", (int)n, line);
		line += n + 1;
		if (*line != '"') {
			for (; *line && *line != ' '; value[size++] = *line++)
				if (strchr("=\"\\", *line) || (unsigned char)*line < 0x20)
					goto wrong;
		} else {
			for (line++; *line != '"'; line++) {
				bool is_escaped = *line == '\\';

				line += is_escaped;
				if ((unsigned char)*line < 0x20 || (is_escaped && !strchr("\"\\n", *line)))
					goto wrong;
				value[size++] = is_escaped && *line == 'n' ? '\n' : *line;
			}
			line++;
		}
		value[size] = '\0';
		json_object_set_new(object, key, json_stringn_nocheck(value, size));
		if (*line && *line++ != ' ')
			goto wrong;
	}
	return object;
wrong:
	json_decref(object);
	return NULL;
}

static const char *const hard[] = { "plain", "", "two words", "a \"quote\"", "back\\slash", "line\nline", "key=value", "\"", "\\", "\\\"",
				    "ends with \\", "x=\" y=\"z", "\xc3\xa4" };

START_TEST(test_a_value_is_read_as_what_it_was)
{
	const char *text = hard[_i];
	char line[LOG_LINE_MAX];
	json_t *pairs;

	log_format(line, sizeof(line), "quoted=\"%s\" bare=%s part=\"<%s>\" number=%" PRId64 " last=%s", text, text, text, INT64_C(-7), text);
	pairs = read_pairs(line);
	ck_assert_msg(pairs != NULL, "%s", line);
	ck_assert_str_eq(json_string_value(json_object_get(pairs, "quoted")), text);
	ck_assert_str_eq(json_string_value(json_object_get(pairs, "bare")), text);
	ck_assert_str_eq(json_string_value(json_object_get(pairs, "number")), "-7");
	ck_assert_str_eq(json_string_value(json_object_get(pairs, "last")), text);
	ck_assert_uint_eq(json_object_size(pairs), 5);
	json_decref(pairs);
}
END_TEST

START_TEST(test_the_same_comes_out_as_json)
{
	const char *text = hard[_i];
	char line[LOG_LINE_MAX];
	struct buf json = { 0 };
	json_t *object;

	log_format(line, sizeof(line), "quoted=\"%s\" bare=%s count=%zu share=%.2f id=%016" PRIx64 " text=\"%d\" last=%s", text, text,
		   (size_t)12, 0.25, UINT64_C(18), 5, text);
	buf_put_u8(&json, '{');
	log_put_json(&json, line);
	buf_put_u8(&json, '}');
	object = json_loadb((char *)json.data, json.size, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_msg(object != NULL, "%s", buf_cstr(&json));
	ck_assert_str_eq(json_string_value(json_object_get(object, "quoted")), text);
	ck_assert_str_eq(json_string_value(json_object_get(object, "bare")), text);
	ck_assert_str_eq(json_string_value(json_object_get(object, "last")), text);
	ck_assert_int_eq(json_integer_value(json_object_get(object, "count")), 12);
	ck_assert(json_is_real(json_object_get(object, "share")));
	ck_assert_str_eq(json_string_value(json_object_get(object, "id")), "0000000000000012");
	ck_assert_str_eq(json_string_value(json_object_get(object, "text")), "5"); /* in quotes it is no number */
	json_decref(object);
	buf_finish(&json);
}
END_TEST

START_TEST(test_pairs_that_are_made_elsewhere_go_through)
{
	char line[LOG_LINE_MAX];

	log_format(line, sizeof(line), "name=%s reason=\"%s\"%s", "w-1", "died", " job=7 source=\"a b\"");
	ck_assert_str_eq(line, "name=w-1 reason=\"died\" job=7 source=\"a b\"");
	log_format(line, sizeof(line), "a=%.*s b=%5u c=%lld d=%llu e=%x", 3, "abcdef", 5u, -1ll, 1ull, 255);
	ck_assert_str_eq(line, "a=abc b=\"    5\" c=-1 d=1 e=ff");
}
END_TEST

/* One line of the log. */
static char *catch_line(bool is_json, const char *msg, const char *value)
{
	int fds[2], old = dup(STDERR_FILENO);
	char *line = calloc(1, 65536);
	ssize_t n;

	ck_assert_int_eq(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	log_init("test", LOG_LEVEL_INFO);
	log_set_json(is_json);
	log_debug("not this one", "x=1");
	log_info(msg, "value=\"%s\" n=%d", value, 3);
	dup2(old, STDERR_FILENO);
	n = read(fds[0], line, 65535);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(line[n - 1], '\n');
	line[n - 1] = '\0';
	ck_assert_ptr_null(strchr(line, '\n'));
	close(fds[0]);
	close(fds[1]);
	close(old);
	return line;
}

START_TEST(test_a_line_is_a_line_in_both_formats)
{
	char *line = catch_line(false, "it \"is\" so\n", "x\ny");
	json_t *pairs = read_pairs(line), *object;

	ck_assert_msg(pairs != NULL, "%s", line);
	ck_assert_str_eq(json_string_value(json_object_get(pairs, "msg")), "it \"is\" so\n");
	ck_assert_str_eq(json_string_value(json_object_get(pairs, "value")), "x\ny");
	ck_assert_str_eq(json_string_value(json_object_get(pairs, "level")), "info");
	json_decref(pairs);
	free(line);
	line = catch_line(true, "it \"is\" so\n", "x\ny \xff");
	object = json_loads(line, 0, NULL);
	ck_assert_msg(object != NULL, "%s", line);
	ck_assert_str_eq(json_string_value(json_object_get(object, "msg")), "it \"is\" so\n");
	ck_assert_str_eq(json_string_value(json_object_get(object, "value")), "x\ny ?");
	ck_assert_str_eq(json_string_value(json_object_get(object, "prog")), "test");
	ck_assert_int_eq(json_integer_value(json_object_get(object, "n")), 3);
	ck_assert_uint_eq(strlen(json_string_value(json_object_get(object, "ts"))), strlen("2026-01-02T03:04:05.678Z"));
	json_decref(object);
	free(line);
}
END_TEST

START_TEST(test_a_line_that_is_too_long_is_cut_and_still_whole)
{
	char *text = malloc(2 * LOG_LINE_MAX), *line;
	json_t *read;

	for (size_t i = 0; i < 2 * LOG_LINE_MAX; i++) /* wherever it is cut, in an escape too */
		text[i] = (i + (size_t)_i) % 3 ? '"' : 'x';
	text[2 * LOG_LINE_MAX - 1] = '\0';
	line = catch_line(false, "long", text);
	ck_assert_uint_le(strlen(line) + 1, LOG_LINE_MAX);
	read = read_pairs(line);
	ck_assert_msg(read != NULL, "%s", line + strlen(line) - 20);
	json_decref(read);
	free(line);
	line = catch_line(true, "long", text);
	read = json_loads(line, 0, NULL);
	ck_assert_msg(read != NULL, "%s", line + strlen(line) - 20);
	json_decref(read);
	free(line);
	free(text);
}
END_TEST

Suite *suite_log(void)
{
	Suite *s = suite_create("log");
	TCase *tc = tcase_create("log");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_a_value_is_read_as_what_it_was, 0, sizeof(hard) / sizeof(hard[0]));
	tcase_add_loop_test(tc, test_the_same_comes_out_as_json, 0, sizeof(hard) / sizeof(hard[0]));
	tcase_add_test(tc, test_pairs_that_are_made_elsewhere_go_through);
	tcase_add_test(tc, test_a_line_is_a_line_in_both_formats);
	tcase_add_loop_test(tc, test_a_line_that_is_too_long_is_cut_and_still_whole, 0, 4);
	suite_add_tcase(s, tc);
	return s;
}
