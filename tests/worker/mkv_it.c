/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/worker/mkv_it.h"

#include <check.h>
#include <string.h>

struct mkv_it it;

void it_setup(void)
{
	buf_init(&it.file);
	memset(&it.mkv, 0, sizeof(it.mkv));
	it.n_frames = 0;
}

void it_teardown(void)
{
	mkv_close(&it.mkv);
	buf_finish(&it.file);
}

int it_read_frames(void)
{
	struct mkv_cursor c;
	int ret = 1;

	it.n_frames = 0;
	it.damaged = 0;
	if (it.mkv.first_cluster < 0)
		return 0;
	ck_assert_int_eq(mkv_seek(&c, &it.mkv, it.mkv.first_cluster, -1, NULL), 0);
	while (it.n_frames < IT_FRAMES_MAX && (ret = mkv_next(&c, &it.frames[it.n_frames], NULL)) == 1)
		it.n_frames++;
	ck_assert_int_eq(ret, 0);
	ck_assert_int_eq(mkv_next(&c, it.frames + it.n_frames, NULL), 0);
	it.damaged = c.damaged_bytes;
	return it.n_frames;
}

int it_open_bytes(struct bytes bytes, struct err *err)
{
	input_init_bytes(&it.in, bytes);
	int ret = mkv_open(&it.mkv, &it.in, err);
	if (ret)
		return ret;
	ret = mkv_read_cues(&it.mkv, err);
	if (ret)
		mkv_close(&it.mkv);
	return ret;
}

const uint8_t *it_at_frame(const struct frame *f)
{
	return it.in.data + f->at;
}

void it_load(void)
{
	struct err err;

	ck_assert(!buf_failed(&it.file));
	ck_assert_msg(it_open_bytes(buf_bytes(&it.file), &err) == 0, "%s", err.msg);
	it_read_frames();
}

int it_try_open(void)
{
	int ret = it_open_bytes(buf_bytes(&it.file), NULL);

	mkv_close(&it.mkv);
	return ret;
}

const char *it_letters(void)
{
	static char s[IT_FRAMES_MAX + 1];

	for (int i = 0; i < it.n_frames; i++)
		s[i] = it.frames[i].size ? (char)*it_at_frame(&it.frames[i]) : '-';
	s[it.n_frames] = 0;
	return s;
}
