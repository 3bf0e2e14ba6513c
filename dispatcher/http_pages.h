/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages: the status page and the player, dispatcher/web/, which are part of the program; and hls.js, which is a package of its own and
 * lies beside the program, or in ../share/segfarm of it. Internal to http.c.
 *
 *   /   /player/K   /web/NAME
 */
#ifndef SEGFARM_DISPATCHER_HTTP_PAGES_H
#define SEGFARM_DISPATCHER_HTTP_PAGES_H

#include "dispatcher/http_call.h"

/* Of all pages: nothing but what this server itself has, no script or style in the page. hls.js hands media over as blobs. */
#define HTTP_PAGES_POLICY \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; media-src 'self' blob:; " \
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* Which page a path is; -1: none. Pure. */
int http_pages_find(const char *path);
enum MHD_Result http_pages_send(struct http_call *call, int page);

#endif
