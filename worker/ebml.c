/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/ebml.h"

#include <string.h>

#define ID_LENGTH_MAX 4

int ebml_vint(const uint8_t *p, size_t n, uint64_t *value)
{
	/* A first byte of 0 would be a length over 8. */
	if (!n || !p[0])
		return 0;
	int length = __builtin_clz(p[0]) - 24 + 1;
	if ((size_t)length > n)
		return 0;
	uint64_t v = p[0] & (0xFFu >> length);
	for (int i = 1; i < length; i++)
		v = v << 8 | p[i];
	*value = v;
	return length;
}

bool ebml_vint_is_unknown(uint64_t value, int length)
{
	return value == (UINT64_C(1) << (7 * length)) - 1;
}

bool ebml_read(struct bytes file, int64_t at, int64_t bound, struct ebml_element *e)
{
	if (at < 0 || at >= bound)
		return false;
	ASSERT(bound <= LIMIT_EBML_FILE && (uint64_t)bound <= file.size);
	const uint8_t *p = file.data + at;
	size_t n = (size_t)(bound - at);
	uint64_t id, size;
	int id_length = ebml_vint(p, n, &id);
	/* IDs of all zeros and all ones are reserved. */
	if (!id_length || id_length > ID_LENGTH_MAX || !id || ebml_vint_is_unknown(id, id_length))
		return false;
	int size_length = ebml_vint(p + id_length, n - (size_t)id_length, &size);
	if (!size_length)
		return false;
	e->id = (uint32_t)(id | UINT64_C(1) << (7 * id_length));
	e->is_unknown = ebml_vint_is_unknown(size, size_length);
	e->start = at;
	e->data = at + id_length + size_length;
	e->end = e->is_unknown ? INT64_MAX : e->data + (int64_t)size;
	return true;
}

bool ebml_uint(struct bytes data, uint64_t *v)
{
	if (!data.size || data.size > 8)
		return false;
	*v = 0;
	for (size_t i = 0; i < data.size; i++)
		*v = *v << 8 | data.data[i];
	return true;
}

bool ebml_int(struct bytes data, int64_t *v)
{
	uint64_t u;
	if (!ebml_uint(data, &u))
		return false;
	if (data.size < 8 && data.data[0] & 0x80)
		u |= UINT64_MAX << (8 * data.size);
	*v = (int64_t)u;
	return true;
}

bool ebml_float(struct bytes data, double *v)
{
	if (data.size == 4) {
		uint32_t bits = get_u32(data.data);
		float f;
		memcpy(&f, &bits, sizeof(f));
		*v = (double)f;
	} else if (data.size == 8) {
		uint64_t bits = get_u64(data.data);
		memcpy(v, &bits, sizeof(*v));
	} else {
		return false;
	}
	return true;
}

static int set_bytes(const struct ebml_field *field, struct bytes data, struct bytes *to, struct err *err)
{
	if (data.size > field->limit)
		return err_set(err, ERR_LIMIT, "%s of %zu bytes, at most %zu are allowed", field->name, data.size, field->limit);
	while (field->type == EBML_STRING && data.size && !data.data[data.size - 1])
		data.size--;
	*to = data;
	return 0;
}

static int set_value(const struct ebml_field *field, struct bytes data, void *out, struct err *err)
{
	/* The table says which type lies there. */
	void *to = (char *)out + field->offset;
	switch (field->type) {
	case EBML_UINT:
		ebml_uint(data, to);
		return 0;
	case EBML_INT:
		ebml_int(data, to);
		return 0;
	case EBML_FLOAT:
		ebml_float(data, to);
		return 0;
	case EBML_STRING:
	case EBML_BINARY:
		return set_bytes(field, data, to, err);
	case EBML_MASTER:
		break;
	}
	return 0;
}

static const struct ebml_field *find_field(const struct ebml_field *fields, uint32_t id)
{
	for (; fields->id; fields++)
		if (fields->id == id)
			return fields;
	return NULL;
}

static int parse(struct bytes file, int64_t at, int64_t bound, const struct ebml_field *fields, int depth, void *out,
		 struct err *err)
{
	struct ebml_element e;
	int ret = 0;

	if (depth > LIMIT_EBML_DEPTH)
		return err_set(err, ERR_LIMIT, "elements more than %d deep", LIMIT_EBML_DEPTH);
	for (; !ret && ebml_read(file, at, bound, &e); at = e.end) {
		const struct ebml_field *field = find_field(fields, e.id);
		bool is_cut = e.end > bound;
		if (field && field->type == EBML_MASTER)
			ret = parse(file, e.data, is_cut ? bound : e.end, field->fields, depth + 1, out, err);
		else if (field && !is_cut)
			ret = set_value(field, (struct bytes){ file.data + e.data, (size_t)(e.end - e.data) }, out, err);
		if (is_cut)
			break;
	}
	return ret;
}

int ebml_parse(struct bytes file, int64_t at, int64_t bound, const struct ebml_field *fields, void *out, struct err *err)
{
	return parse(file, at, bound, fields, 1, out, err);
}
