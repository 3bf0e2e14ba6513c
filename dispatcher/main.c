/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/options.h"
#include "dispatcher/commands.h"
#include "dispatcher/farm.h"

#include <stdio.h>
#include <string.h>

#ifndef SEGFARM_VERSION
#define SEGFARM_VERSION "0.1.0"
#endif

static const char usage[] =
	"Usage: segfarm COMMAND [OPTION...]\n"
	"Turns media files into HLS with a farm of isolated processes.\n"
	"\n"
	"  run FILE        a whole farm for one file on this machine: make it, serve it\n"
	"  serve           dispatch jobs to workers and serve HLS from Redis\n"
	"  keygen FILE     make keys for workers on other hosts\n"
	"  sign-url URL... sign what may be played for a while\n"
	"  submit FILE...  hand files to a farm that runs\n"
	"  status          what it does: streams, queue, workers, what failed\n"
	"  cancel KEY...   make nothing more of a stream ahead\n"
	"  retry KEY...    try again what could not be made\n"
	"  rm KEY...       remove a stream and what was made of it\n"
	"  bench-queue     measure the dispatcher with empty jobs\n"
	"\n"
	"  --help          this text; 'segfarm COMMAND --help' tells more\n"
	"  --version       print the version\n"
	"\n"
	"The simplest use: segfarm run film.mkv\n";

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "run", run_main },
	{ "serve", serve_main },
	{ "keygen", keygen_main },
	{ "sign-url", sign_main },
	{ "submit", submit_main },
	{ "status", status_main },
	{ "cancel", cancel_main },
	{ "retry", retry_main },
	{ "rm", rm_main },
	{ "bench-queue", bench_main },
};

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	argp_program_version = "segfarm " SEGFARM_VERSION;
	if (!strcmp(command, "--janitor") && argc == 4) /* see farm.c */
		return farm_janitor(argv[2], argv[3]);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(command, commands[i].name))
			return commands[i].main(argc - 1, argv + 1);
	if (!strcmp(command, "--version") || !strcmp(command, "-V")) {
		puts(argp_program_version);
		return 0;
	}
	if (!strcmp(command, "--help") || !strcmp(command, "-h") || !strcmp(command, "-?") ||
	    !strcmp(command, "help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (!*command)
		fputs(usage, stderr);
	else
		fprintf(stderr, "segfarm: there is no command '%s' (try 'segfarm --help')\n", command);
	return OPTIONS_EXIT_USAGE;
}
