/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/outbox.h"

#include <string.h>

void outbox_put(struct outbox *box, const void *text, size_t size)
{
	if (box->has_missed || box->text.size - box->at + size > box->limit) {
		box->has_missed = true;
		return;
	}
	if (box->at && box->text.size + size > box->limit) { /* what was taken makes room */
		box->text.size -= box->at;
		memmove(box->text.data, box->text.data + box->at, box->text.size);
		box->at = 0;
	}
	buf_put(&box->text, text, size);
	box->has_missed |= buf_failed(&box->text);
}

size_t outbox_take(struct outbox *box, void *to, size_t max)
{
	size_t left = box->text.size - box->at;

	if (!left) {
		buf_reset(&box->text);
		box->at = 0;
		if (box->has_missed)
			buf_put_str(&box->text, box->notice);
		box->has_missed = false;
		left = box->text.size;
	}
	left = left < max ? left : max;
	if (left)
		memcpy(to, box->text.data + box->at, left);
	box->at += left;
	return left;
}

void outbox_finish(struct outbox *box)
{
	buf_finish(&box->text);
}
