/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * H.264 and H.265: configuration records from what stands in CodecPrivate and the first sample, then samples. AudioSpecificConfig
 * is read from the same bytes.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "worker/asc.h"
#include "worker/nal.h"
#include "worker/nal_internal.h"
#include "worker/sps.h"

static void check_sps(const struct nal_sps *s)
{
	ASSERT(s->width >= 1 && s->width <= 16384 && s->height >= 1 && s->height <= 16384);
	ASSERT(s->reorder >= -1 && s->reorder <= 16);
	ASSERT(!s->sar_num == !s->sar_den && s->sar_num >= 0 && s->sar_den >= 0);
	ASSERT(!s->rate_num == !s->rate_den && s->rate_num >= 0 && s->rate_den >= 0);
}

/* Number of picture parameter sets in an avcC. */
static int count_pps(struct bytes record)
{
	int n_sps;

	fuzz_bytes(&record, 5);
	n_sps = (int)fuzz_uint(&record, 1) & 31;
	for (int i = 0; i < n_sps; i++)
		fuzz_bytes(&record, fuzz_uint(&record, 2));
	return (int)fuzz_uint(&record, 1);
}

/* A record that we wrote can be read, and gives itself again if it is complete. */
static void check_record(const struct nal_config *c)
{
	struct bytes record = fuzz_copy(buf_bytes(&c->record));
	struct nal_config again;
	struct err err;

	ASSERT(!nal_config_init(&again, c->codec, record, (struct bytes){ 0 }, &err));
	ASSERT(again.length_size == c->length_size && !strcmp(again.codecs, c->codecs));
	if (c->codec == NAL_H265 || count_pps(record))
		ASSERT(again.record.size == c->record.size && !memcmp(again.record.data, c->record.data, c->record.size));
	nal_config_finish(&again);
	free((void *)(uintptr_t)record.data);
}

/* What comes out is length-prefixed, and has the same NAL units as what went in. */
static void check_sample(const struct nal_config *c, struct bytes in)
{
	struct buf scratch = { 0 };
	struct nal_sample s;
	struct err err;
	int ret = nal_sample_read(c, in, &scratch, &s, &err);

	ASSERT(!ret || ret == ERR_DATA);
	ASSERT(!ret || !scratch.size);
	if (!ret && s.data.size) {
		bool is_prefixed = nal_is_length_prefixed(in, c->source_length_size);
		struct nal_walk from = { in, is_prefixed ? c->source_length_size : 0, 0 }, to = { s.data, c->length_size, 0 };
		struct bytes a, b;

		ASSERT(nal_is_length_prefixed(s.data, c->length_size));
		while (nal_walk_next(&from, &a) == 1) {
			if (!a.size && from.length_size != to.length_size)
				continue; /* dropped on conversion */
			ASSERT(nal_walk_next(&to, &b) == 1 && a.size == b.size && !memcmp(a.data, b.data, a.size));
		}
		ASSERT(nal_walk_next(&to, &b) == 0);
	}
	ASSERT(ret || s.sync == NAL_SYNC_NONE || s.has_picture);
	buf_finish(&scratch);
}

static void read_asc(struct bytes config)
{
	struct asc asc;
	struct err err;

	if (asc_read(config, &asc, &err))
		return;
	ASSERT(asc.rate >= 1 && asc.rate <= 192000 && asc.channels >= 1 && asc.channels <= 93);
	ASSERT(asc.frame_samples == 1024 || asc.frame_samples == 960);
	ASSERT(!strncmp(asc.codecs, "mp4a.40.", 8));
}

/* codec, bytes of CodecPrivate, CodecPrivate, sample */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = { data, size };
	enum nal_codec codec = fuzz_uint(&in, 1) & 1 ? NAL_H265 : NAL_H264;
	struct bytes codec_private = fuzz_copy(fuzz_bytes(&in, fuzz_uint(&in, 2))), sample = in;
	struct nal_config c;
	struct sps_more more;
	struct nal_sps sps;
	struct err err;

	read_asc(codec_private);
	if (!sps_read(codec, sample, &sps, &more, &err))
		check_sps(&sps);
	if (!nal_config_init_lengths(&c, codec, codec_private, &err))
		check_sample(&c, sample);
	if (!nal_config_init(&c, codec, codec_private, sample, &err)) {
		check_sps(&c.sps);
		check_record(&c);
		check_sample(&c, sample);
		nal_config_finish(&c);
	}
	free((void *)(uintptr_t)codec_private.data);
	return 0;
}
