/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What comes over the bus, and what comes on a command line.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/allow.h"
#include "common/cli.h"
#include "common/key.h"
#include "common/mail.h"
#include "common/msg.h"

static void read_msg(enum msg_verb verb, struct bytes json)
{
	struct buf first = { 0 }, second = { 0 };
	struct msg m, again;
	struct err err;

	if (msg_get(verb, json, &m, &err))
		return;
	ASSERT(!msg_put(&m, &first));
	ASSERT(!msg_get(verb, buf_bytes(&first), &again, &err));
	ASSERT(!msg_put(&again, &second));
	ASSERT(first.size == second.size && !memcmp(first.data, second.data, first.size));
	ASSERT(!strcmp(m.name, again.name) && !strcmp(m.reason, again.reason) && m.job == again.job && m.code == again.code);
	buf_finish(&first);
	buf_finish(&second);
}

static void read_mail(struct bytes in)
{
	struct mail m;
	struct err err;

	if (!mail_get(in, &m, &err))
		ASSERT(key_is_valid(m.stream) && (!m.from[0] || key_is_valid(m.from)) && m.verb < MAIL_N_VERBS);
	else
		ASSERT(err.code < 0);
}

/* It has one form, which is its own. */
static void read_url(const char *text)
{
	char form[ALLOW_URL_MAX], again[ALLOW_URL_MAX];

	if (!allow_form(text, form))
		return;
	ASSERT(allow_form(form, again) && !strcmp(form, again));
	ASSERT(!strstr(form, "/../") && !strchr(form, '\\') && !strchr(form, ' '));
}

static void read_arguments(const char *text)
{
	struct cli_listen listen;
	int64_t v;

	if (!cli_parse_segment_duration(text, &v, NULL))
		ASSERT(v >= 45000 && v <= 600 * 90000);
	if (!cli_parse_int(text, -5, 1000, &v, NULL))
		ASSERT(v >= -5 && v <= 1000);
	if (!cli_parse_decimal(text, 3, &v, NULL))
		ASSERT(v >= 0);
	if (!cli_parse_listen(text, &listen, NULL))
		ASSERT(strlen(listen.host) > 0);
}

static void read_text(const char *text)
{
	read_arguments(text);
	read_url(text);
}

/* Which verb, or an argument; then the bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, size };
	unsigned kind = (unsigned)fuzz_uint(&in, 1) % (MSG_STOP + 3);
	char *text = strndup((const char *)in.data, in.size);
	int verb = msg_verb_from_name(in);

	ASSERT(text);
	ASSERT(verb < 0 || (strlen(msg_verb_name(verb)) == in.size && !memcmp(msg_verb_name(verb), in.data, in.size)));
	if (kind <= MSG_STOP)
		read_msg(kind, in);
	else if (kind == MSG_STOP + 1)
		read_mail(in);
	else
		read_text(text);
	free(text);
	return 0;
}
