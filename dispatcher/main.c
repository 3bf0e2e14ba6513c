/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/options.h"
#include "dispatcher/commands.h"
#include "dispatcher/farm.h"

#include <stdio.h>
#include <string.h>

static void print_usage(FILE *to)
{
	fprintf(to, "Usage: segfarm COMMAND [OPTION...]\nTurns media files into HLS with a farm of isolated processes.\n\n");
	for (const struct manual_command *c = commands_manual.commands; c->name; c++)
		fprintf(to, "  %s %-*s %s\n", c->name, (int)(15 - strlen(c->name)), c->args, c->summary);
	fprintf(to, "\n  --help           this text; 'segfarm COMMAND --help' tells more\n"
		    "  --version        print the version\n\n"
		    "The simplest use: segfarm run film.mkv\n");
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	argp_program_version = "segfarm " SEGFARM_VERSION;
	if (!strcmp(command, "--janitor") && argc == 4) /* see farm.c */
		return farm_janitor(argv[2], argv[3]);
	if (!strcmp(command, MANUAL_OPTION) && argc == 3)
		return manual_main(&commands_manual, argv[2]);
	for (const struct manual_command *c = commands_manual.commands; c->name; c++)
		if (!strcmp(command, c->name))
			return c->main(argc - 1, argv + 1);
	if (!strcmp(command, "--version") || !strcmp(command, "-V")) {
		puts(argp_program_version);
		return 0;
	}
	if (!strcmp(command, "--help") || !strcmp(command, "-h") || !strcmp(command, "-?") ||
	    !strcmp(command, "help")) {
		print_usage(stdout);
		return 0;
	}
	if (!*command)
		print_usage(stderr);
	else
		fprintf(stderr, "segfarm: there is no command '%s' (try 'segfarm --help')\n", command);
	return OPTIONS_EXIT_USAGE;
}
