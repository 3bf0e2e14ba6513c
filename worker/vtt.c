/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/vtt.h"

#include "common/timeline.h"
#include "common/utf8.h"

#include <inttypes.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"  /* U+FFFD */
#define NO_BREAK "\xc2\xa0"         /* U+00A0 */
#define WORD_JOINER "\xe2\x81\xa0"  /* U+2060: libavcodec puts it behind a \ that is none of ASS */

enum { BOLD = 1, ITALIC = 2, UNDERLINE = 4 };
static const struct {
	int style;
	char name;
} tags[] = { { BOLD, 'b' }, { ITALIC, 'i' }, { UNDERLINE, 'u' } };
#define N_TAGS (sizeof tags / sizeof *tags)

struct payload {
	struct buf *out;
	int wanted, open;     /* styles */
	int n_breaks;         /* lines that end before the next character */
	bool is_begun;        /* there is a character */
	bool is_drawing;      /* what follows is a picture made of coordinates */
};

static void close_tags(struct payload *p)
{
	for (size_t i = N_TAGS; i-- > 0;)
		if (p->open & tags[i].style)
			buf_printf(p->out, "</%c>", tags[i].name);
	p->open = 0;
}

static void open_tags(struct payload *p)
{
	for (size_t i = 0; i < N_TAGS; i++)
		if (p->wanted & tags[i].style)
			buf_printf(p->out, "<%c>", tags[i].name);
	p->open = p->wanted;
}

/* Empty lines would end the cue: they are left out, as those at its ends. */
static void put_characters(struct payload *p, const char *s, size_t n)
{
	if (p->is_drawing)
		return;
	if (p->open != p->wanted)
		close_tags(p);
	if (p->n_breaks && p->is_begun)
		buf_put_u8(p->out, '\n');
	p->n_breaks = 0;
	p->is_begun = true;
	if (p->open != p->wanted)
		open_tags(p);
	buf_put(p->out, s, n);
}

/* One character, escaped; returns its bytes. */
static size_t put_character(struct payload *p, const char *s)
{
	size_t n = utf8_character(s, strnlen(s, 4));

	if (!n)
		put_characters(p, REPLACEMENT, 3);
	else if (*s == '\n')
		p->n_breaks++;
	else if (*s == '&')
		put_characters(p, "&amp;", 5);
	else if (*s == '<')
		put_characters(p, "&lt;", 4);
	else if (*s == '>')
		put_characters(p, "&gt;", 4);
	else if ((unsigned char)*s >= ' ' && *s != 0x7f && !((*s == ' ') && (p->n_breaks || !p->is_begun)))
		put_characters(p, s, n);
	return n ? n : 1;
}

/* "\i1", "\b700", "\u0", "\r", "\p1": a number is wanted right behind the name. */
static void set_style(struct payload *p, const char *tag)
{
	if (*tag == 'r')
		p->wanted = 0;
	if (*tag == 'p' && tag[1] >= '0' && tag[1] <= '9')
		p->is_drawing = tag[1] != '0';
	for (size_t i = 0; i < N_TAGS; i++) {
		if (*tag != tags[i].name || tag[1] < '0' || tag[1] > '9')
			continue;
		p->wanted &= ~tags[i].style;
		if (tag[1] != '0')
			p->wanted |= tags[i].style;
	}
}

/* The inside of { }. */
static void set_styles(struct payload *p, const char *s, const char *end)
{
	while ((s = memchr(s, '\\', (size_t)(end - s))) && ++s < end)
		set_style(p, s);
}

/* At a backslash; returns how many bytes it and what it stands for take. */
static size_t put_escape(struct payload *p, const char *s)
{
	switch (s[1]) {
	case 'N':
	case 'n':
		p->n_breaks++;
		return 2;
	case 'h':
		if (p->is_begun && !p->n_breaks)
			put_characters(p, NO_BREAK, 2);
		return 2;
	case '{':
	case '}':
		put_characters(p, s + 1, 1);
		return 2;
	default:
		put_characters(p, s, 1);
		return strncmp(s + 1, WORD_JOINER, 3) ? 1 : 4;
	}
}

void vtt_put_text(struct buf *out, const char *ass)
{
	struct payload p = { .out = out };
	const char *end;

	for (const char *s = ass; *s;) {
		if (*s == '{' && (end = strchr(s, '}'))) {
			set_styles(&p, s + 1, end);
			s = end + 1;
		} else if (*s == '\\') {
			s += put_escape(&p, s);
		} else {
			s += put_character(&p, s);
		}
	}
	close_tags(&p);
}

void vtt_put_head(struct buf *out)
{
	buf_put_str(out, "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n");
}

static void put_time(struct buf *out, int64_t ticks)
{
	int64_t ms = timeline_scale_round(ticks, 1000, TICKS_PER_SECOND);

	buf_printf(out, "%02" PRId64 ":%02" PRId64 ":%02" PRId64 ".%03" PRId64, ms / 3600000, ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
}

void vtt_put_cue(struct buf *out, int64_t start, int64_t end, struct bytes text)
{
	buf_put_str(out, "\n");
	put_time(out, start);
	buf_put_str(out, " --> ");
	put_time(out, end);
	buf_put_str(out, "\n");
	buf_put(out, text.data, text.size);
	buf_put_str(out, "\n");
}
