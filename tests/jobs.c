/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/jobs.h"

#include "common/timeline.h"
#include "dispatcher/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int jobs_probe(struct job *job, const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st))
		return err_set(err, ERR_USAGE, "%.300s: %s", path, strerror(errno));
	*job = (struct job){ .id = 1, .type = JOB_PROBE, .stream = JOBS_STREAM, .deadline_ms = 100000 };
	snprintf(job->source.path, sizeof job->source.path, "%s", path);
	job->source.size = st.st_size;
	job->source.mtime_ns = st.st_mtim.tv_sec * NS_PER_SECOND + st.st_mtim.tv_nsec;
	record_options_init(&job->options);
	return 0;
}

int jobs_index(struct store *store, const struct job *probe, struct index *index, struct err *err)
{
	struct buf json = { 0 };
	int ret = store_get_value(store, probe->stream, "index", &json, err);

	if (!ret)
		ret = err_set(err, ERR_DATA, "there is no index");
	if (ret > 0)
		ret = index_get(buf_bytes(&json), index, err);
	buf_finish(&json);
	return ret;
}

int jobs_plan(struct store *store, const struct job *probe, struct plan *plan, struct err *err)
{
	struct buf json = { 0 };
	struct index index;
	int ret = jobs_index(store, probe, &index, err);

	if (ret)
		return ret;
	ret = plan_make(&index, &probe->options, plan, err);
	index_finish(&index);
	if (ret)
		return ret;
	ret = plan_put(plan, &json);
	ret = ret ? err_set(err, ret, "the plan cannot be written") :
		    store_put_plan(store, probe->stream, NULL, buf_bytes(&json), plan->hash, plan->n_segments, "main", err);
	buf_finish(&json);
	if (ret)
		plan_finish(plan);
	return ret;
}

int jobs_tick(struct task *task, struct err *err)
{
	(void)task;
	(void)err;
	return 0;
}
