/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/hdr.h"

#include <check.h>
#include <math.h>

#include "tests/suites.h"
#include "tests/worker/mem.h"

/* DCI-P3 with D65, 1000 cd/m2: what most HDR10 titles say. */
static struct track_colour p3(void)
{
	return (struct track_colour){
		.chromaticity = { { 0.68, 0.32 }, { 0.265, 0.69 }, { 0.15, 0.06 }, { 0.3127, 0.329 } },
		.luminance_max = 1000,
		.luminance_min = 0.0001,
		.max_cll = 1000,
		.max_fall = 400,
	};
}

/* G(13250,34500) B(7500,3000) R(34000,16000) WP(15635,16450) L(10000000,1) */
START_TEST(the_mastering_display_is_in_steps_green_first)
{
	struct track_colour c = p3();
	uint8_t mdcv[HDR_MDCV_SIZE];

	ck_assert(hdr_mdcv(&c, mdcv));
	mem_assert((struct bytes){ mdcv, sizeof mdcv }, "33c286c4" "1d4c0bb8" "84d03e80" "3d134042" "00989680" "00000001", "mdcv");
}
END_TEST

START_TEST(a_mastering_display_that_is_not_whole_is_not_told)
{
	uint8_t mdcv[HDR_MDCV_SIZE];
	struct track_colour c;

	for (int i = 0; i < 8; i++) {
		c = p3();
		c.chromaticity[i / 2][i % 2] = -1;
		ck_assert(!hdr_mdcv(&c, mdcv));
		c.chromaticity[i / 2][i % 2] = 1.01;
		ck_assert(!hdr_mdcv(&c, mdcv));
		c.chromaticity[i / 2][i % 2] = NAN;
		ck_assert(!hdr_mdcv(&c, mdcv));
	}
	c = p3();
	c.luminance_max = -1;
	ck_assert(!hdr_mdcv(&c, mdcv));
	c.luminance_max = 429497; /* over 32 bits */
	ck_assert(!hdr_mdcv(&c, mdcv));
	c.luminance_max = INFINITY;
	ck_assert(!hdr_mdcv(&c, mdcv));
	c = p3();
	c.luminance_min = -1;
	ck_assert(!hdr_mdcv(&c, mdcv));
	c.luminance_min = 1000;
	ck_assert(!hdr_mdcv(&c, mdcv));
}
END_TEST

START_TEST(content_light_levels_are_in_candela)
{
	struct track_colour c = p3();
	uint8_t clli[HDR_CLLI_SIZE];

	ck_assert(hdr_clli(&c, clli));
	mem_assert((struct bytes){ clli, sizeof clli }, "03e8" "0190", "clli");
	c.max_fall = -1;
	ck_assert(hdr_clli(&c, clli));
	mem_assert((struct bytes){ clli, sizeof clli }, "03e8" "0000", "clli");
	c.max_cll = 65536;
	ck_assert(!hdr_clli(&c, clli));
	c.max_cll = -1;
	ck_assert(!hdr_clli(&c, clli));
	c.max_cll = c.max_fall = 0; /* both not known */
	ck_assert(!hdr_clli(&c, clli));
}
END_TEST

START_TEST(a_dolby_vision_record_tells_profile_level_and_compatibility)
{
	struct hdr_dovi d;

	ck_assert(hdr_dovi(mem_hex("01000a3500"), &d)); /* profile 5, level 6, rpu, no el, bl */
	ck_assert(d.profile == 5 && d.level == 6 && d.compatibility == 0);
	ck_assert(hdr_dovi(mem_hex("0100110d10"), &d)); /* 8.1, level 33 */
	ck_assert(d.profile == 8 && d.level == 33 && d.compatibility == 1);
	ck_assert(!hdr_dovi(mem_hex("0100110d"), &d));
	mem_release();
}
END_TEST

Suite *suite_hdr(void)
{
	Suite *suite = suite_create("worker/hdr");
	TCase *t = tcase_create("hdr");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, the_mastering_display_is_in_steps_green_first);
	tcase_add_test(t, a_mastering_display_that_is_not_whole_is_not_told);
	tcase_add_test(t, content_light_levels_are_in_candela);
	tcase_add_test(t, a_dolby_vision_record_tells_profile_level_and_compatibility);
	suite_add_tcase(suite, t);
	return suite;
}
