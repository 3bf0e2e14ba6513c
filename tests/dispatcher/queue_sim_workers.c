/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/dispatcher/queue_sim_internal.h"

/* Some segments cannot be made, by chance of their place; some sources are out of reach for a while. */
static enum fate fate_of(struct sim *s, const struct held *job)
{
	uint32_t place = (uint32_t)(sim_mix((uint64_t)job->stream << 32 | job->slot) % 30000), chance;

	if (!s->config->has_faults)
		return FINE;
	if (place < 3)
		return place == 0 ? CRASH : place == 1 ? REFUSE : VANISH;
	if (job->stream % 97 == 7 && s->now_ms >= TROUBLE_MS && s->now_ms < TROUBLE_END_MS)
		return TROUBLE;
	if (s->now_ms >= STORE_DOWN_MS && s->now_ms < STORE_UP_MS)
		return TROUBLE;
	chance = sim_below(s, 10000);
	return chance < 10   ? CRASH
	       : chance < 20 ? KILLED
	       : chance < 30 ? VANISH
	       : chance < 35 ? HANG
	       : chance < 37 ? HANG_UNSEEN
	       : chance < 45 ? CUT
	       : chance < 55 ? LIE
	       : chance < 65 ? REFUSE
	       : chance < 75 ? TROUBLE
	       : chance < 95 ? TWICE
			     : FINE;
}

static void begin_job(struct sim *s, int n)
{
	struct worker *w = &s->workers[n];
	int64_t job = w->jobs[0].job, ms = sim_job_ms(s);
	enum fate fate = fate_of(s, &w->jobs[0]);

	if (fate == FINE && ms > DEADLINE_MS)
		fate = HANG;
	w->is_hung = fate == HANG || fate == HANG_UNSEEN;
	if (fate == HANG)
		sim_post_worker(s, DEADLINE_MS + 100, WORKER_DIES, n, job, CRASH);
	else if (fate == HANG_UNSEEN)
		sim_post_worker(s, DEADLINE_MS + QUEUE_GRACE_MS + 1000, WORKER_DIES, n, job, VANISH);
	else if (fate == CRASH || fate == KILLED || fate == VANISH)
		sim_post_worker(s, (int64_t)((double)ms * sim_fraction(s)), WORKER_DIES, n, job, fate);
	else
		sim_post_worker(s, fate == TROUBLE || fate == REFUSE ? 5 + ms / 100 : ms, JOB_END, n, job, fate);
	if (fate == CUT)
		sim_post_worker(s, (int64_t)((double)ms * sim_fraction(s)), CONNECTION_CUT, n, job, fate);
}

void sim_receive_job(struct sim *s, int n, const struct queue_item *item)
{
	struct worker *w = &s->workers[n];
	int stream = item->stream->number;

	MUST(w->n_jobs < JOBS_MAX);
	w->jobs[w->n_jobs++] = (struct held){ item->job, stream, item->slot, s->streams[stream].generation };
	if (w->n_jobs == 1)
		begin_job(s, n);
}

static void end_job(struct sim *s, int n, int at)
{
	struct worker *w = &s->workers[n];

	memmove(&w->jobs[at], &w->jobs[at + 1], (size_t)(--w->n_jobs - at) * sizeof *w->jobs);
	if (!at && w->n_jobs)
		begin_job(s, n);
}

static void tell(struct sim *s, int n, enum kind kind, int64_t job, enum fate fate)
{
	if (!s->workers[n].is_cut)
		sim_post_worker(s, LATENCY_MS, kind, n, job, fate);
}

void sim_on_job_end(struct sim *s, const struct event *e)
{
	struct worker *w = &s->workers[e->who];
	const struct held *held = &w->jobs[0];
	struct stream *stream;

	if (!w->n_jobs || held->job != e->job)
		return;
	stream = &s->streams[held->stream];
	if (e->fate != LIE && e->fate != REFUSE && e->fate != TROUBLE && stream->generation == held->generation) {
		s->result->n_late += stream->slots[held->slot].is_stored;
		stream->slots[held->slot].is_stored = true;
	}
	tell(s, e->who, e->fate == REFUSE || e->fate == TROUBLE ? FAILED : DONE, e->job, e->fate);
	if (e->fate == TWICE)
		tell(s, e->who, DONE_AGAIN, e->job, e->fate);
	end_job(s, e->who, 0);
}

void sim_on_cancel(struct sim *s, const struct event *e)
{
	struct worker *w = &s->workers[e->who];
	int at = 0;

	while (at < w->n_jobs && w->jobs[at].job != e->job)
		at++;
	if (w->session != e->session || w->is_hung || at == w->n_jobs)
		return;
	if (!at) {
		sim_post_worker(s, sim_below(s, TICK_MS), JOB_STOP, e->who, e->job, STOPPED);
		return;
	}
	end_job(s, e->who, at);
	tell(s, e->who, FAILED, e->job, STOPPED);
}

void sim_on_job_stop(struct sim *s, const struct event *e)
{
	struct worker *w = &s->workers[e->who];

	if (!w->n_jobs || w->jobs[0].job != e->job)
		return;
	end_job(s, e->who, 0);
	tell(s, e->who, FAILED, e->job, STOPPED);
}

/* Of a crash its pool tells; a host that is gone tells nothing. It comes back as another. */
void sim_on_worker_dies(struct sim *s, const struct event *e)
{
	struct worker *w = &s->workers[e->who];

	if (w->session != e->session || !w->n_jobs || w->jobs[0].job != e->job)
		return;
	if (e->fate != VANISH)
		tell(s, e->who, DIED, e->job, e->fate);
	else
		sim_post_worker(s, LOST_MS, SILENT, e->who, 0, e->fate);
	w->n_jobs = 0;
	w->is_hung = false;
	sim_post_worker(s, e->fate != VANISH ? 50 : sim_below(s, 2 * LOST_MS), HELLO, e->who, 0, e->fate);
}

void sim_on_connection_cut(struct sim *s, const struct event *e)
{
	struct worker *w = &s->workers[e->who];

	if (w->session != e->session || !w->n_jobs || w->jobs[0].job != e->job)
		return;
	w->is_cut = true;
	sim_post_worker(s, LOST_MS, SILENT, e->who, 0, e->fate);
	sim_post_worker(s, LOST_MS / 2 + sim_below(s, 4 * LOST_MS), HELLO, e->who, 0, e->fate);
}
