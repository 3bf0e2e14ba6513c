/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The continuous pipeline as a job: what it makes goes through the store to the dispatcher, who passes it on to a player.
 * The job lasts as long as the player reads.
 */
#include "common/log.h"
#include "worker/task.h"
#include "worker/transcode.h"

#include <poll.h>
#include <string.h>

#define WAIT_MS 10 /* between two looks whether there is room again */
#define PIECE_VIEWS 1024

struct play {
	struct task *task;
	struct store_play name;
	int64_t number; /* of the next piece */
};

static int put_piece(struct play *p, const struct iovec *iov, int n, struct err *err)
{
	int ret;

	while (!(ret = store_put_play(p->task->store, &p->name, p->number, iov, n, err))) {
		ret = p->task->tick(p->task, err);
		if (ret)
			return ret;
		poll(NULL, 0, WAIT_MS);
	}
	if (ret < 0)
		return ret;
	p->number++;
	for (int i = 0; i < n; i++)
		p->task->bytes += (int64_t)iov[i].iov_len;
	return 0;
}

/* One fragment, in pieces. */
static int put(void *arg, struct iovec *iov, int n, struct err *err)
{
	struct play *p = arg;
	struct iovec piece[PIECE_VIEWS];
	int ret = source_status(p->task->source, err);

	while (n && !ret) {
		size_t room = STORE_PIECE;
		int k = 0;

		while (n && room && k < PIECE_VIEWS) {
			size_t take = iov->iov_len < room ? iov->iov_len : room;

			piece[k++] = (struct iovec){ iov->iov_base, take };
			iov->iov_base = (char *)iov->iov_base + take;
			iov->iov_len -= take;
			room -= take;
			if (!iov->iov_len) {
				iov++;
				n--;
			}
		}
		ret = put_piece(p, piece, k, err);
	}
	source_forget(p->task->source);
	return ret;
}

static int tick(void *arg, struct err *err)
{
	struct play *p = arg;

	return p->task->tick(p->task, err);
}

int play_run(struct task *task, struct err *err)
{
	const struct job *job = task->job;
	struct play p = { .task = task };
	struct transcode_request request = { job->options, job->start, INT64_MAX };
	struct transcode_out out = { put, tick, &p };
	struct transcode_stats stats;
	int ret = source_open(task->source, &job->source, err);

	memcpy(p.name.stream, job->stream, sizeof p.name.stream);
	memcpy(p.name.id, job->play, sizeof p.name.id);
	if (!ret)
		ret = transcode_run(task->source->demux, &request, &out, &stats, err);
	if (!ret)
		ret = put_piece(&p, NULL, 0, err); /* the end */
	if (!ret && (stats.broken_video || stats.broken_audio || stats.damaged_bytes))
		log_warn("broken frames left out", "stream=%s play=%s video=%lld audio=%lld bytes=%lld", job->stream, job->play,
			 (long long)stats.broken_video, (long long)stats.broken_audio, (long long)stats.damaged_bytes);
	return ret;
}
