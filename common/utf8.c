/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/utf8.h"

size_t utf8_character(const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t size = !n ? 0 : s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	if (size > n)
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* longer than needed, a surrogate, beyond U+10FFFF */
	if (size > 2 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
			 (s[0] == 0xf4 && s[1] > 0x8f)))
		return 0;
	return size;
}
