/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/mail.h"

#include "common/json.h"
#include "common/key.h"

#include <string.h>

#define JSON_MAX 1024
#define PLAYER_MAX ((INT64_C(1) << 62) - 1)

static const char *const verb_names[MAIL_N_VERBS] = { "look", "want", "follow", "settled" };

int mail_put(const struct mail *m, struct buf *json)
{
	size_t start = json->size;

	jput_begin(json);
	jput_str(json, "verb", verb_names[m->verb]);
	jput_str(json, "from", m->from);
	jput_str(json, "stream", m->stream);
	jput_int(json, "slot", m->slot);
	jput_int(json, "player", (int64_t)(m->player & (uint64_t)PLAYER_MAX));
	jput_close(json, '}');
	return jput_result(json, start, JSON_MAX);
}

int mail_get(struct bytes json, struct mail *m, struct err *err)
{
	struct jget g;
	json_t *root;
	char verb[16];
	int n = 0, ret = jget_parse(&root, json, JSON_MAX, "mail", err);

	if (ret)
		return ret;
	g = jget_begin(root, "mail", err);
	jget_str(&g, "verb", verb, sizeof(verb), NULL);
	while (n < MAIL_N_VERBS && strcmp(verb, verb_names[n]))
		n++;
	if (n == MAIL_N_VERBS)
		jget_fail(&g, "verb", "is not known");
	m->verb = (enum mail_verb)(n % MAIL_N_VERBS);
	jget_str(&g, "from", m->from, sizeof(m->from), NULL);
	if (m->from[0] && !key_is_valid(m->from))
		jget_fail(&g, "from", "is not an id");
	jget_str(&g, "stream", m->stream, sizeof(m->stream), NULL);
	if (!key_is_valid(m->stream))
		jget_fail(&g, "stream", "is not a key");
	m->slot = (uint32_t)jget_int(&g, "slot", 0, UINT32_MAX - 1);
	m->player = (uint64_t)jget_int(&g, "player", 0, PLAYER_MAX);
	ret = jget_end(&g);
	json_decref(root);
	return ret;
}
