/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * submit, cancel, retry, rm.
 */
#include "dispatcher/admin.h"

#include "dispatcher/command.h"
#include "dispatcher/commands.h"

#include <stdio.h>
#include <string.h>

static int submit_one(struct admin *a, const char *path)
{
	struct store_stream what;
	char key[RECORD_KEY_SIZE];
	int ret = command_submit(a->store, a->dispatchers, path, &a->options->encode, a->options->is_on_demand, key, &what, a->err);

	if (!ret && !strcmp(what.state, "failed"))
		return err_set(a->err, ERR_DATA, "%.300s has failed before: %.300s; 'segfarm retry %s' tries again", path, what.error,
			       key);
	if (ret >= 0)
		printf("%s %s\n", key, path);
	return ret;
}

static int cancel_one(struct admin *a, const char *key)
{
	return admin_check_key(a, key, command_cancel(a->store, a->dispatchers, key, a->err));
}

static int retry_one(struct admin *a, const char *key)
{
	return admin_check_key(a, key, command_retry(a->store, a->dispatchers, key, a->err));
}

/* There may be no dispatcher that cleans up. */
static int rm_one(struct admin *a, const char *key)
{
	int ret = admin_check_key(a, key, command_remove(a->store, a->dispatchers, key, a->err)), more = ret >= 0;

	while (more > 0)
		more = store_clean(a->store, key, a->err);
	return more < 0 ? more : ret;
}

/* --- the programs */

static const struct argp_option plain_options[] = { ADMIN_OPTION_REDIS, { 0 } };

static const struct argp_option submit_options[] = {
	ADMIN_OPTION_REDIS,
	{ "on-demand", OPTIONS_KEY_ON_DEMAND, NULL, 0, "Make nothing before a player asks for it", 1 },
	{ 0 },
};
static const struct argp_child submit_children[] = { { &options_encode, 0, NULL, 0 }, { 0 } };
const struct argp submit_argp = {
	.options = submit_options,
	.parser = admin_parse,
	.args_doc = "FILE...",
	.doc = "Hands media files to the farm. Each is accepted once its line, with its key, is printed: Redis has it, and the dispatchers "
	       "make it, whatever may die meanwhile. Its playlist is /hls/KEY/master.m3u8 at any of them.",
	.children = submit_children,
};

int submit_main(int argc, char **argv)
{
	return admin_main("segfarm submit", &submit_argp, submit_one, NULL, argc, argv);
}

const struct argp cancel_argp = {
	.options = plain_options,
	.parser = admin_parse,
	.args_doc = "KEY...",
	.doc = "Makes nothing more of a stream ahead. What is made stays, and players still get the rest when they ask for it. 'segfarm "
	       "submit' goes on with it.",
};

int cancel_main(int argc, char **argv)
{
	return admin_main("segfarm cancel", &cancel_argp, cancel_one, NULL, argc, argv);
}

const struct argp retry_argp = {
	.options = plain_options,
	.parser = admin_parse,
	.args_doc = "KEY...",
	.doc = "Tries again what of a stream could not be made.",
};

int retry_main(int argc, char **argv)
{
	return admin_main("segfarm retry", &retry_argp, retry_one, NULL, argc, argv);
}

const struct argp rm_argp = {
	.options = plain_options,
	.parser = admin_parse,
	.args_doc = "KEY...",
	.doc = "Removes a stream and all that was made of it. Its source file stays.",
};

int rm_main(int argc, char **argv)
{
	return admin_main("segfarm rm", &rm_argp, rm_one, NULL, argc, argv);
}
