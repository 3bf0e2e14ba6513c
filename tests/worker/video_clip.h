/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Video tracks for tests: packets of a file, what the video stage makes of them, and pictures to compare it with.
 */
#ifndef SEGFARM_TESTS_WORKER_VIDEO_CLIP_H
#define SEGFARM_TESTS_WORKER_VIDEO_CLIP_H

#include "worker/video.h"

#include <libavcodec/avcodec.h>

#define CLIP_PACKETS_MAX 2000

struct clip {
	struct video_source source;
	AVCodecParameters *par;
	AVPacket *av[CLIP_PACKETS_MAX];             /* own the bytes */
	struct video_packet packets[CLIP_PACKETS_MAX];
	int n;
	int64_t times[CLIP_PACKETS_MAX];            /* of the frames, as ffprobe says */
	int n_times;
	struct video_options options;
	struct video_facts facts;
};

/* The first video track of a file; times are those of the file. */
void clip_open(struct clip *c, const char *path);
/* Its facts, by c->options, from the first 40 packets. */
void clip_look(struct clip *c);
void clip_close(struct clip *c);

/* Samples of one run after the other. */
struct clip_sample {
	int64_t pts;
	bool is_sync;
	size_t at, size;
};
struct clip_made {
	struct buf data;
	struct clip_sample samples[CLIP_PACKETS_MAX];
	int n;
	int64_t broken;
	int pushed;            /* packets of the latest run that the stage took */
};
/* Makes [start, end), reading from the sync sample that is the latest two frames or more in front of start; appends to m. */
void clip_make(const struct clip *c, int64_t start, int64_t end, struct clip_made *m);
void clip_made_finish(struct clip_made *m);

/* Pictures as yuv420p, one behind the other. */
struct pictures {
	struct buf data;
	int width, height, n;
	int64_t pts[CLIP_PACKETS_MAX]; /* of decoded ones, in the order in which they came */
};
void pictures_decode(struct pictures *p, const struct clip *c, const struct clip_made *m);
void pictures_read(struct pictures *p, const char *path, int width, int height); /* a raw file */
void pictures_finish(struct pictures *p);
/* Of one picture of each, over the three planes, dB; 100 where they are the same. */
double pictures_psnr(const struct pictures *a, const struct pictures *b, int i);
struct psnr {
	double mean, worst;
	int worst_at;
};
struct psnr pictures_compare(const struct pictures *a, const struct pictures *b); /* of as many pictures */

#endif
