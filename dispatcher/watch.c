/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * status --watch: what status shows, on the whole terminal, anew each second. Nothing but a few escape sequences that all terminals know.
 */
#include "dispatcher/admin.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define EVERY_MS 1000
#define BEGIN "\033[?1049h\033[?25l" /* the other screen, no cursor */
#define END "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_REST "\033[J"

static volatile sig_atomic_t must_end;

static void on_end(int number)
{
	must_end = number;
}

static void on_resize(int number)
{
	(void)number; /* it interrupts the wait */
}

static struct winsize window(void)
{
	struct winsize w = { 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || !w.ws_row || !w.ws_col)
		w = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	return w;
}

/* So much of a line as fits, without what a terminal would obey. */
static void put_line(struct buf *out, const char *line, size_t size, int columns)
{
	int n = 0;

	for (size_t i = 0; i < size; i++) {
		uint8_t c = (uint8_t)line[i];

		n += (c & 0xc0) != 0x80; /* a character of UTF-8 */
		if (n > columns)
			break;
		buf_put_u8(out, c < 0x20 || c == 0x7f ? '?' : c);
	}
	buf_put_str(out, CLEAR_LINE);
}

static void put_text(struct buf *out, const char *text, struct winsize w)
{
	int row = 1;

	for (const char *end; *text && row < w.ws_row; text = *end ? end + 1 : end, row++) {
		end = strchrnul(text, '\n');
		buf_put_str(out, "\r\n");
		put_line(out, text, (size_t)(end - text), w.ws_col);
	}
}

static void put_head(struct buf *out, struct winsize w)
{
	char line[80], clock[16];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	snprintf(line, sizeof(line), "segfarm  %s  (q: quit)", clock);
	buf_put_str(out, HOME);
	put_line(out, line, strlen(line), w.ws_col);
}

static void show(const char *text)
{
	struct buf out = { 0 };
	struct winsize w = window();

	put_head(&out, w);
	put_text(&out, text, w);
	buf_put_str(&out, CLEAR_REST);
	for (size_t at = 0; !buf_failed(&out) && at < out.size;) {
		ssize_t n = write(STDOUT_FILENO, out.data + at, out.size - at);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	buf_finish(&out);
}

/* A Redis that is away may come back. */
static void look(struct admin *a)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	json_t *status = f && admin_list_dispatchers(a) >= 0 ? admin_look(a) : NULL;

	if (status)
		admin_print(status, f);
	else if (f)
		fprintf(f, "%s\n", a->err->msg);
	json_decref(status);
	if (f && fclose(f) == 0)
		show(text);
	free(text);
}

/* true: a key says that it is enough, or nobody is there any more. */
static bool is_enough(void)
{
	struct pollfd fd = { .fd = STDIN_FILENO, .events = POLLIN };
	char keys[16];
	ssize_t n;

	if (poll(&fd, 1, EVERY_MS) <= 0)
		return false;
	n = read(STDIN_FILENO, keys, sizeof(keys));
	return n <= 0 || memchr(keys, 'q', (size_t)n) || memchr(keys, 'Q', (size_t)n);
}

int watch(struct admin *a)
{
	const int ends[] = { SIGINT, SIGTERM, SIGHUP };
	struct termios old, raw;

	if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &old) < 0)
		return err_set(a->err, ERR_USAGE, "--watch needs a terminal; without it, or with --json, this is for programs");
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigaction(ends[i], &(struct sigaction){ .sa_handler = on_end }, NULL);
	sigaction(SIGWINCH, &(struct sigaction){ .sa_handler = on_resize }, NULL);
	raw = old;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	if (write(STDOUT_FILENO, BEGIN, strlen(BEGIN)) < 0)
		must_end = 1;
	while (!must_end) {
		look(a);
		if (is_enough())
			break;
	}
	if (write(STDOUT_FILENO, END, strlen(END)) < 0)
		must_end = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &old);
	return 0;
}
