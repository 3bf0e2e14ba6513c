/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * segfarm-worker: a pool of isolated one-job-at-a-time processes.
 */
#include "common/manual.h"
#include "worker/pool_options.h"
#include "worker/transcode_main.h"
#include "worker/video_encoder_choice.h"

#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <string.h>

static const struct manual_command commands[] = {
	{ "", "", "supervise worker processes", NULL, &pool_argp },
	{ "transcode", "[IN] > OUT", "one stream instead of segments", transcode_main, &transcode_argp },
	{ 0 },
};
static const struct manual manual = { "segfarm-worker", "makes HLS segments for segfarm", commands };

#define LIMIT_ALLOC (512 << 20) /* of FFmpeg at once: twice what of a source is held in memory */

int main(int argc, char **argv)
{
	argp_program_version = "segfarm-worker " SEGFARM_VERSION;
	av_max_alloc(LIMIT_ALLOC);
	av_log_set_level(AV_LOG_QUIET);
	if (argc > 1 && !strcmp(argv[1], "transcode"))
		return transcode_main(argc - 1, argv + 1);
	if (argc == 3 && !strcmp(argv[1], MANUAL_OPTION))
		return manual_main(&manual, argv[2]);
	if (argc == 3 && !strcmp(argv[1], VIDEO_ENCODER_TRIAL))
		return video_encoder_trial_main(argv[2]);
	return pool_options_main(argc, argv);
}
