/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/hdr.h"

#include <math.h>

#define CHROMATICITY_STEPS 50000
#define LUMINANCE_STEPS 10000

/* Big-endian, `size` bytes of it. */
static bool put_steps(uint8_t *to, int size, double value, double steps)
{
	double v = round(value * steps);

	if (!(value >= 0 && v <= (size == 2 ? UINT16_MAX : UINT32_MAX)))
		return false;
	for (int i = 0; i < size; i++)
		to[i] = (uint8_t)((uint32_t)v >> (8 * (size - 1 - i)));
	return true;
}

bool hdr_mdcv(const struct track_colour *c, uint8_t mdcv[HDR_MDCV_SIZE])
{
	static const int order[4] = { 1, 2, 0, 3 };
	bool is_whole = true;

	for (int i = 0; i < 4; i++)
		for (int k = 0; k < 2; k++)
			is_whole &= c->chromaticity[order[i]][k] <= 1 &&
				    put_steps(mdcv + 4 * i + 2 * k, 2, c->chromaticity[order[i]][k], CHROMATICITY_STEPS);
	is_whole &= put_steps(mdcv + 16, 4, c->luminance_max, LUMINANCE_STEPS);
	is_whole &= put_steps(mdcv + 20, 4, c->luminance_min, LUMINANCE_STEPS);
	return is_whole && c->luminance_max > c->luminance_min;
}

/* One of the two alone: 0 says that the other is not known. */
bool hdr_clli(const struct track_colour *c, uint8_t clli[HDR_CLLI_SIZE])
{
	double cll = c->max_cll < 0 ? 0 : (double)c->max_cll, fall = c->max_fall < 0 ? 0 : (double)c->max_fall;

	return (c->max_cll > 0 || c->max_fall > 0) && put_steps(clli, 2, cll, 1) && put_steps(clli + 2, 2, fall, 1);
}

bool hdr_dovi(struct bytes record, struct hdr_dovi *d)
{
	const uint8_t *p = record.data;

	if (record.size < 5)
		return false;
	*d = (struct hdr_dovi){ p[2] >> 1, (p[2] & 1) << 5 | p[3] >> 3, p[4] >> 4 };
	return true;
}
