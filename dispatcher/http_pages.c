/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispatcher/http_pages.h"

#include "common/key.h"
#include "dispatcher/http_internal.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TYPE_SCRIPT "text/javascript; charset=utf-8"
#define HLS_NAME "hls.min.js"
#define HLS_MAX (8u << 20) /* bytes of it */
#define PLAYER "/player/"

/* A file of dispatcher/web as it is, between two symbols. */
#define EMBED(symbol, file) \
	__asm__(".pushsection .rodata\n" #symbol ":\n.incbin \"dispatcher/web/" file "\"\n" #symbol "_end:\n.byte 0\n.popsection"); \
	extern const uint8_t symbol[], symbol##_end[]

EMBED(web_index_html, "index.html");
EMBED(web_player_html, "player.html");
EMBED(web_style_css, "style.css");
EMBED(web_icon_svg, "icon.svg");
EMBED(web_common_js, "common.js");
EMBED(web_map_js, "map.js");
EMBED(web_plot_js, "plot.js");
EMBED(web_streams_js, "streams.js");
EMBED(web_status_js, "status.js");
EMBED(web_player_js, "player.js");

static const struct page {
	const char *path, *type;
	const uint8_t *start, *end;
} pages[] = {
	{ "/", HTTP_TYPE_HTML, web_index_html, web_index_html_end },
	{ PLAYER, HTTP_TYPE_HTML, web_player_html, web_player_html_end },
	{ "/web/style.css", "text/css; charset=utf-8", web_style_css, web_style_css_end },
	{ "/web/icon.svg", "image/svg+xml", web_icon_svg, web_icon_svg_end },
	{ "/web/common.js", TYPE_SCRIPT, web_common_js, web_common_js_end },
	{ "/web/map.js", TYPE_SCRIPT, web_map_js, web_map_js_end },
	{ "/web/plot.js", TYPE_SCRIPT, web_plot_js, web_plot_js_end },
	{ "/web/streams.js", TYPE_SCRIPT, web_streams_js, web_streams_js_end },
	{ "/web/status.js", TYPE_SCRIPT, web_status_js, web_status_js_end },
	{ "/web/player.js", TYPE_SCRIPT, web_player_js, web_player_js_end },
	{ "/web/" HLS_NAME, TYPE_SCRIPT, NULL, NULL },
};
#define N_PAGES ((int)(sizeof(pages) / sizeof(*pages)))

int http_pages_find(const char *path)
{
	bool is_player = !strncmp(path, PLAYER, strlen(PLAYER)) && key_is_valid(path + strlen(PLAYER));

	for (int i = 0; i < N_PAGES; i++)
		if (is_player ? !strcmp(pages[i].path, PLAYER) : !strcmp(pages[i].path, path) && strcmp(path, PLAYER))
			return i;
	return -1;
}

/* As it is installed, or built. */
static FILE *open_hls(void)
{
	static const char *const places[] = { "../share/segfarm/" HLS_NAME, HLS_NAME };
	char path[PATH_MAX + 64];
	ssize_t size = readlink("/proc/self/exe", path, PATH_MAX);
	FILE *file = NULL;

	if (size <= 0)
		return NULL;
	while (size && path[size - 1] != '/')
		size--;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places) && !file; i++) {
		snprintf(path + size, sizeof(path) - (size_t)size, "%s", places[i]);
		file = fopen(path, "re");
	}
	return file;
}

static enum MHD_Result send_hls(struct http_call *call, const char *type)
{
	FILE *file = open_hls();
	struct buf body = { 0 };
	uint8_t *to = file ? buf_grow(&body, HLS_MAX) : NULL;

	body.size = to ? fread(to, 1, HLS_MAX, file) : 0;
	if (file)
		fclose(file);
	if (to && body.size)
		return http_send_body(call, &body, type, HTTP_CACHE_SHORT);
	buf_finish(&body);
	return http_send_problem(call, MHD_HTTP_NOT_FOUND, "hls.js is not installed: it is a package of its own, see 'make player'");
}

enum MHD_Result http_pages_send(struct http_call *call, int page)
{
	const struct page *p = &pages[page];
	struct buf body = { 0 };

	if (!p->start)
		return send_hls(call, p->type);
	buf_put(&body, p->start, (size_t)(p->end - p->start));
	return http_send_body(call, &body, p->type, HTTP_CACHE_SHORT);
}
