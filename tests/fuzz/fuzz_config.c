/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Options from a configuration file and from the environment: each that comes out is one of the command's, with the line it is from.
 */
#include "tests/fuzz/fuzz.h"

#include "common/config.h"
#include "dispatcher/commands.h"
#include "worker/pool_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VARIABLES_MAX 64

/* The text as a file, and its path. */
static const char *write_file(struct bytes text)
{
	static char path[40];
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("config", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ASSERT(fd >= 0 && !ftruncate(fd, 0) && pwrite(fd, text.data, text.size, 0) == (ssize_t)text.size);
	return path;
}

struct wanted {
	const char *name;
	size_t size;
};

static int is_it(void *arg, const struct argp_option *o)
{
	const struct wanted *w = arg;

	return strlen(o->name) == w->size && !strncmp(o->name, w->name, w->size);
}

/* "--name" or "--name=value", in a line of its own: "name = value". */
static void check_option(const struct argp *argp, const char *option, const char *origin, const char *path, const char *text)
{
	struct wanted w = { option + 2, strcspn(option + 2, "=") };
	size_t n = strlen(path);
	long line;

	ASSERT(!strncmp(option, "--", 2) && config_walk(argp, is_it, &w) == 1 && !strchr(option, '\n'));
	if (strncmp(origin, path, n))
		return;
	ASSERT(origin[n] == ':');
	line = strtol(origin + n + 1, NULL, 10);
	ASSERT(line > 0);
	while (--line)
		ASSERT((text = strchr(text, '\n')) && *++text);
	ASSERT(memmem(text, strcspn(text, "\n"), w.name, w.size));
	if (w.name[w.size] == '=')
		ASSERT(memmem(text, strcspn(text, "\n"), w.name + w.size + 1, strlen(w.name + w.size + 1)));
}

static void expand(const struct argp *argp, const char *section, const char *path, char **environment, const char *text)
{
	char program[] = "segfarm", option[] = "--config", last[] = "--log-level=error", *file = strdup(path);
	char *argv[] = { program, option, file, last, NULL };
	struct config config;
	struct err err = { 0 };

	if (config_expand(&config, argp, section, 4, argv, environment, &err)) {
		ASSERT(err.code == ERR_USAGE && err.msg[0]);
		free(file);
		return;
	}
	ASSERT(config.argc == 4 + config.n_before && !config.argv[config.argc] && !strcmp(config.argv[config.argc - 1], last));
	for (int i = 0; i < config.n_before; i++) {
		check_option(argp, config.argv[1 + i], config.origins[i], path, text);
		ASSERT(strncmp(config.argv[1 + i], "--log-level", 11)); /* the command line goes before both */
	}
	config_finish(&config);
	free(file);
}

/* Which program, and whether the text is the file, or lines of the environment. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, size };
	unsigned kind = (unsigned)fuzz_uint(&in, 1) % 4;
	const struct argp *argp = kind & 1 ? &pool_argp : &serve_argp;
	const char *section = kind & 1 ? "worker" : "serve";
	char *text = strndup((const char *)in.data, in.size), *environment[VARIABLES_MAX + 1] = { NULL }, *rest = text;

	ASSERT(text);
	if (kind & 2)
		for (int i = 0; i < VARIABLES_MAX && rest; i++)
			environment[i] = strsep(&rest, "\n");
	expand(argp, section, write_file(kind & 2 ? (struct bytes){ NULL, 0 } : in), environment, text);
	free(text);
	return 0;
}
