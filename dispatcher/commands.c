/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/commands.h"

static const struct manual_command commands[] = {
	{ "run", "FILE", "a whole farm for one file on this machine: make it, serve it", run_main, &run_argp },
	{ "serve", "", "dispatch jobs to workers and serve HLS from Redis", serve_main, &serve_argp },
	{ "keygen", "FILE", "make keys for workers on other hosts", keygen_main, &keygen_argp },
	{ "sign-url", "URL...", "sign what may be played for a while", sign_main, &sign_argp },
	{ "submit", "FILE...", "hand files to a farm that runs", submit_main, &submit_argp },
	{ "status", "", "what it does: streams, queue, workers, what failed", status_main, &status_argp },
	{ "cancel", "KEY...", "make nothing more of a stream ahead", cancel_main, &cancel_argp },
	{ "retry", "KEY...", "try again what could not be made", retry_main, &retry_argp },
	{ "rm", "KEY...", "remove a stream and what was made of it", rm_main, &rm_argp },
	{ "export", "KEY", "write a stream into a directory, as files", export_main, &export_argp },
	{ "probe", "FILE|KEY", "what is known of a title, and how it is made", probe_main, &probe_argp },
	{ "bench-queue", "", "measure the dispatcher with empty jobs", bench_main, &bench_argp },
	{ 0 },
};

const struct manual commands_manual = {
	.program = "segfarm",
	.summary = "turns media files into HLS with a farm of isolated processes",
	.commands = commands,
};
