/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/keys.h"
#include "common/options.h"
#include "dispatcher/commands.h"

#include <stdio.h>
#include <string.h>

static error_t parse_keygen(int key, char *arg, struct argp_state *state)
{
	const char **path = state->input;

	if (key == ARGP_KEY_ARG && !*path)
		*path = arg;
	else if (key == ARGP_KEY_ARG)
		argp_error(state, "one FILE at a time");
	else if (key == ARGP_KEY_NO_ARGS)
		argp_error(state, "where shall the keys be written? (segfarm keygen FILE)");
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

const struct argp keygen_argp = {
	.parser = parse_keygen,
	.args_doc = "FILE",
	.doc = "Makes a pair of CURVE keys for a dispatcher or for the workers of one host: FILE holds both and is for nobody else, "
	       "FILE.pub the public one. Neither is ever overwritten."
	       "\vWorkers on another host:\n\n"
	       "  segfarm keygen dispatcher.key                # on the dispatcher's host\n"
	       "  segfarm keygen worker.key                    # on the workers'\n"
	       "  cat worker.key.pub >> workers.allowed        # brought over to the dispatcher's\n"
	       "  segfarm serve --bind tcp://10.0.0.1:5555 --keys dispatcher.key --allow-workers workers.allowed ...\n"
	       "  segfarm-worker --connect tcp://10.0.0.1:5555 --keys worker.key --dispatcher-key dispatcher.key.pub ...",
};

int keygen_main(int argc, char **argv)
{
	const char *path = NULL;
	struct keys_pair pair;
	struct err err;
	int ret;

	options_parse(&keygen_argp, "segfarm keygen", argc, argv, &path);
	ret = keys_make(path, &pair, &err);
	if (ret < 0)
		fprintf(stderr, "segfarm keygen: %s\n", err.msg);
	else
		printf("%s\n", pair.public_key);
	explicit_bzero(&pair, sizeof(pair));
	return ret < 0 ? OPTIONS_EXIT_USAGE : 0;
}
