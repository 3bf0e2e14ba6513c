/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/msg.h"
#include "tests/suites.h"

#include <check.h>
#include <string.h>

static struct bytes text(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

START_TEST(messages_come_back_as_they_were)
{
	static const enum msg_verb all[] = { MSG_HELLO, MSG_READY, MSG_BEAT,   MSG_DONE, MSG_FAIL,
					     MSG_BYE,	MSG_CANCEL, MSG_STOP, MSG_REFUSE };
	struct msg in = { .name = "host-12-3-4",
			  .pid = 77,
			  .credits = 1024,
			  .job = 5,
			  .is_killed = true,
			  .progress = 6,
			  .elapsed_us = 1,
			  .cpu_us = 2,
			  .bytes = 3,
			  .code = ERR_LIMIT,
			  .format = 6,
			  .build = "00000000000000aa",
			  .version = "1.2.3",
			  .labels = "gpu,big",
			  .reason = "it \"broke\"\n" };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct buf json = { 0 }, again = { 0 };
		struct msg out;
		struct err err = { 0 };
		in.verb = all[i];
		ck_assert_int_eq(msg_put(&in, &json), 0);
		ck_assert_msg(!msg_get(in.verb, buf_bytes(&json), &out, &err), "%s", err.msg);
		msg_put(&out, &again);
		ck_assert_str_eq(buf_cstr(&json), buf_cstr(&again));
		ck_assert_int_eq(msg_verb_from_name(text(msg_verb_name(in.verb))), (int)in.verb);
		buf_finish(&json);
		buf_finish(&again);
	}
	ck_assert_int_lt(msg_verb_from_name(text("HELL")), 0);
	ck_assert_int_lt(msg_verb_from_name(text("")), 0);
}
END_TEST

static const struct {
	enum msg_verb verb;
	const char *json;
} bad_messages[] = {
	{ MSG_HELLO, "{\"name\":\"a b\",\"reason\":\"\",\"pid\":1,\"job\":0,\"killed\":false}" },
	{ MSG_HELLO, "{\"name\":\"\",\"reason\":\"\",\"pid\":1,\"job\":0,\"killed\":false}" },
	{ MSG_HELLO, "{\"name\":\"a\",\"reason\":\"\",\"pid\":0,\"job\":0,\"killed\":false}" },
	{ MSG_HELLO, "{\"name\":\"a\",\"reason\":\"\",\"job\":0,\"killed\":false}" },
	{ MSG_HELLO, "{\"name\":\"a\",\"reason\":\"\",\"pid\":1,\"killed\":false}" },
	{ MSG_HELLO, "{\"name\":\"a\",\"reason\":\"\",\"pid\":1,\"job\":0}" },
	{ MSG_HELLO, "{\"name\":\"a\",\"reason\":\"\",\"pid\":1,\"job\":0,\"killed\":1}" },
	{ MSG_HELLO, "{\"name\":\"a\",\"reason\":\"\",\"pid\":1,\"job\":-1,\"killed\":false}" },
	{ MSG_READY, "{\"credits\":0}" },
	{ MSG_READY, "{\"credits\":1025}" },
	{ MSG_READY, "{\"credits\":true}" },
	{ MSG_DONE, "{\"job\":0,\"elapsed_us\":0,\"cpu_us\":0,\"bytes\":0}" },
	{ MSG_BYE, "{\"x\":1}" },
	{ MSG_BYE, "[]" },
	{ MSG_BYE, "" },
	{ MSG_JOB, "{}" },
	{ MSG_CANCEL, "{\"job\":-1}" },
};

START_TEST(broken_message_is_refused)
{
	struct msg m;
	struct err err = { 0 };
	ck_assert_msg(msg_get(bad_messages[_i].verb, text(bad_messages[_i].json), &m, &err) == ERR_DATA, "accepted: %s",
		      bad_messages[_i].json);
}
END_TEST

START_TEST(hello_carries_the_job_that_its_predecessor_died_of)
{
	struct msg in = { .verb = MSG_HELLO, .name = "host-1-0-2", .pid = 7, .job = 41, .reason = "killed by signal 9 (Killed)" }, out;
	struct buf json = { 0 };
	struct err err = { 0 };
	msg_put(&in, &json);
	ck_assert_msg(!msg_get(MSG_HELLO, buf_bytes(&json), &out, &err), "%s", err.msg);
	ck_assert_int_eq(out.job, 41);
	buf_finish(&json);
}
END_TEST

START_TEST(reason_that_is_no_utf8_still_arrives)
{
	struct msg in = { .verb = MSG_FAIL, .job = 1, .code = ERR_DATA, .reason = "cannot read \xff.mkv" }, out;
	struct buf json = { 0 };
	struct err err = { 0 };
	msg_put(&in, &json);
	ck_assert_msg(!msg_get(MSG_FAIL, buf_bytes(&json), &out, &err), "%s", err.msg);
	ck_assert_str_eq(out.reason, "cannot read ?.mkv");
	buf_finish(&json);
}
END_TEST

#define N(array) ((int)(sizeof(array) / sizeof((array)[0])))

Suite *suite_msg(void)
{
	Suite *s = suite_create("common/msg");
	TCase *t = tcase_create("msg");
	tcase_add_test(t, messages_come_back_as_they_were);
	tcase_add_loop_test(t, broken_message_is_refused, 0, N(bad_messages));
	tcase_add_test(t, hello_carries_the_job_that_its_predecessor_died_of);
	tcase_add_test(t, reason_that_is_no_utf8_still_arrives);
	suite_add_tcase(s, t);
	return s;
}
