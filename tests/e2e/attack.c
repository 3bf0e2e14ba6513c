/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/attack.h"

#include "common/bus.h"
#include "common/proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#define ANSWER_MS 60000 /* what must come comes */
#define ROW 150         /* messages of one ZeroMQ peer: fewer than make the dispatcher deaf to it */
#define SLOW 100        /* HTTP clients that trickle */
#define OPEN 64         /* and those that are at it */

/* ---- chance */

static uint64_t next_random(struct attack *a)
{
	a->seed ^= a->seed << 13;
	a->seed ^= a->seed >> 7;
	a->seed ^= a->seed << 17;
	return a->seed;
}

static size_t pick(struct attack *a, size_t n)
{
	return (size_t)(next_random(a) >> 11) % n;
}

static void put_noise(struct attack *a, uint8_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(next_random(a) >> 17);
}

/* A few bytes flipped, taken out, repeated or cut off; the new size. There is room for twice as much. */
static size_t mutate(struct attack *a, uint8_t *text, size_t n)
{
	for (size_t k = 1 + pick(a, 4); k && n; k--) {
		size_t at = pick(a, n), part = 1 + pick(a, n - at < 16 ? n - at : 16);

		switch (pick(a, 5)) {
		case 0:
			text[at] ^= (uint8_t)(1 << pick(a, 8));
			break;
		case 1:
			text[at] = (uint8_t)next_random(a);
			break;
		case 2:
			memmove(text + at, text + at + part, n - at - part);
			n -= part;
			break;
		case 3:
			memmove(text + at + part, text + at, n - at);
			n += part;
			break;
		default:
			n = at;
		}
	}
	return n;
}

/* ---- ZeroMQ */

static void send_frames(void *socket, const struct bytes *frames, int n)
{
	for (int i = 0; i < n; i++)
		zmq_send(socket, frames[i].data, frames[i].size, i + 1 < n ? ZMQ_SNDMORE : 0);
}

static void send_texts(void *socket, const char *verb, const void *json, size_t size)
{
	send_frames(socket, (struct bytes[]){ { (const uint8_t *)"SF01", 4 }, { (const uint8_t *)verb, strlen(verb) }, { json, size } }, 3);
}

static void send_noise(struct attack *a, void *socket)
{
	static uint8_t noise[8][600];
	struct bytes frames[8];
	int n = 1 + (int)pick(a, 8);

	for (int i = 0; i < n; i++) {
		frames[i] = (struct bytes){ noise[i], pick(a, sizeof noise[i]) };
		put_noise(a, noise[i], frames[i].size);
	}
	if (pick(a, 2)) /* our protocol, and then none */
		frames[0] = (struct bytes){ (const uint8_t *)"SF01", 4 };
	if (pick(a, 2) && n > 1)
		frames[1] = (struct bytes){ (const uint8_t *)"DONE", 4 };
	send_frames(socket, frames, n);
}

/* What a worker says, and a dispatcher. A peer that has said HELLO says no READY: it would be a worker then, and a bad one is
 * another matter. */
static const struct {
	const char *verb, *json;
} said[] = {
	{ "BEAT", "{\"job\":0,\"progress\":12345}" },
	{ "DONE", "{\"job\":4503599627370495,\"elapsed_us\":1,\"cpu_us\":1,\"bytes\":100}" },
	{ "FAIL", "{\"job\":1,\"code\":\"data\",\"reason\":\"it is bad \\u0000 \\n\"}" },
	{ "BYE", "{}" },
	{ "CANCEL", "{\"job\":1}" },
	{ "STOP", "{}" },
	{ "JOB", "{\"id\":1,\"type\":\"noop\",\"stream\":\"\",\"deadline_ms\":1000}" },
	{ "HELLO", NULL }, /* made by put_hello; from here on of one kind of peer only */
	{ "READY", "{\"credits\":1024}" },
};

static size_t put_hello(uint8_t *to, size_t max)
{
	struct msg hello = { .verb = MSG_HELLO, .pid = 1, .name = "host-1-0-1", .reason = "killed" };
	struct buf json = { 0 };
	size_t size = msg_put(&hello, &json) == 0 && json.size <= max ? json.size : 0;

	memcpy(to, json.data, size);
	buf_finish(&json);
	return size;
}

static size_t put_said(size_t what, uint8_t *to, size_t max)
{
	size_t size;

	if (!said[what].json)
		return put_hello(to, max);
	size = strlen(said[what].json);
	memcpy(to, said[what].json, size);
	return size;
}

/* A row of messages from one peer, and then the proof that all have been read: a stranger's BEAT is answered by a HELLO. */
static int send_row(struct attack *a, void *context, int n)
{
	bool is_stranger = pick(a, 4);
	void *socket = zmq_socket(context, ZMQ_DEALER);
	char endpoint[40], reply[256];
	uint8_t json[1024];
	int wait_ms = ANSWER_MS, ret = -1;

	snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", a->port);
	zmq_setsockopt(socket, ZMQ_LINGER, &wait_ms, sizeof wait_ms);
	zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
	if (zmq_connect(socket, endpoint))
		return -1;
	if (!is_stranger)
		send_texts(socket, "HELLO", json, put_hello(json, sizeof json));
	for (int i = 0; i < n; i++) {
		size_t what = pick(a, is_stranger ? 9 : 8), size;

		if (is_stranger && what == 7)
			what = 8;
		if (is_stranger && what == 0) /* the last one only */
			what = 1;
		if (!pick(a, 3)) {
			send_noise(a, socket);
			continue;
		}
		size = put_said(what, json, sizeof json / 2);
		if (pick(a, 2))
			size = mutate(a, json, size);
		send_texts(socket, said[what].verb, json, size);
	}
	send_texts(socket, "BYE", "{}", 2);
	send_texts(socket, "BEAT", said[0].json, strlen(said[0].json));
	a->n_sent += n;
	a->n_refused += is_stranger ? n : 0;
	while (ret && zmq_recv(socket, reply, sizeof reply, 0) >= 0) {
		int more = 0;
		size_t size = sizeof more;

		zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size);
		ret = more ? -1 : 0; /* the whole of one message */
	}
	zmq_close(socket);
	return ret;
}

int attack_zmq(void *attack)
{
	struct attack *a = attack;
	void *context = zmq_ctx_new();
	int ret = 0;

	a->ms = -proc_now_ms();
	while (!ret && a->n_sent < a->n)
		ret = send_row(a, context, a->n - a->n_sent < ROW ? (int)(a->n - a->n_sent) : ROW);
	zmq_ctx_term(context);
	a->ms += proc_now_ms();
	return ret;
}

/* ---- TCP */

/* Gone at once when it is closed: nothing waits in the kernel, and ports do not run out. */
static int connect_to(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct linger hard = { .l_onoff = 1 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_port = htons((uint16_t)port);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) {
		perror("connect");
		close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	return fd;
}

int attack_raw(void *attack)
{
	static const uint8_t greeting[64] = { 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0, 'N', 'U', 'L', 'L' };
	static const uint8_t ready[] = "\4\x26\5READY\13Socket-Type\0\0\0\6DEALER\10Identity\0\0\0\0";
	struct attack *a = attack;

	a->ms = -proc_now_ms();
	for (; a->n_sent < a->n; a->n_sent++) {
		uint8_t data[2048];
		size_t size = pick(a, 1000), head = 0;
		int fd = connect_to(a->port);

		if (fd < 0)
			return 1;
		if (pick(a, 3)) {
			memcpy(data, greeting, head = sizeof greeting);
			if (pick(a, 2)) {
				memcpy(data + head, ready, sizeof ready - 1);
				head += sizeof ready - 1;
			}
			if (!pick(a, 3))
				head = mutate(a, data, head);
		}
		put_noise(a, data + head, size);
		send(fd, data, head + size, MSG_NOSIGNAL);
		if (!pick(a, 4))
			shutdown(fd, SHUT_WR);
		if (!pick(a, 8)) /* to hear what it has to say */
			poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 1);
		close(fd);
	}
	a->ms += proc_now_ms();
	return 0;
}

/* ---- HTTP */

/* %s: the title's key. */
static const char *const paths[] = {
	"/", "/healthz", "/hls/%s/master.m3u8", "/hls/%s/main/index.m3u8", "/hls/%s/main/init.mp4", "/hls/%s/main/0-540000.m4s",
	"/hls/%s/main/../../../../etc/passwd", "/hls/%s/main/%%2e%%2e/master.m3u8", "/hls/%s%%00/master.m3u8", "//", "/.", "/..",
	"/hls/%s/main/0-540000.m4s%%00.txt", "/hls//main/index.m3u8", "/hls/%s/main/-1--1.m4s", "/hls/%s/main/9999999999999999999-1.m4s",
	"http://x/hls/%s/master.m3u8", "*", "/hls/%s/main/index.m3u8?start=%%", "/stream/%s.mp4/", "/stream/../%s.mp4", "?", "#", "\\",
	"/healthz%%00", "/hls/%s/main/0-540000.m4s/../init.mp4", "/metrics", "/v1/streams", "/hls/%s/main/0x0-0x1.m4s",
};

static const char *const headers[] = {
	"Host: x\r\n", "Host: x\r\nHost: y\r\n", "", "Content-Length: 5\r\n", "Content-Length: -1\r\n", "Content-Length: 99999999999999999999\r\n",
	"Content-Length: 5\r\nContent-Length: 6\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
	"Transfer-Encoding: gzip, chunked\r\n", "Expect: 100-continue\r\n", "Connection: keep-alive, close, upgrade\r\n", "Upgrade: h2c\r\n",
	"Range: bytes=0-1,3-4,18446744073709551615-\r\n", "Range: bytes=-\r\n", ": \r\n", "X\r\n", " folded\r\n", "X:\ty\r\n\tz\r\n", "X: \x01\x7f\xff\r\n",
	"Cookie: a=b; c; =; ;;;\r\n", "Authorization: Basic !!!!\r\n", "Authorization: Digest x=\"\r\n", "If-Modified-Since: never\r\n",
};

static const char *const bodies[] = {
	"", "hello", "5\r\nhello\r\n0\r\n\r\n", "ffffffffffffffff\r\n", "-1\r\n", "5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n", "0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
	"zz\r\n", "5\nhello\n0\n\n", "00000000000000000000000000000005\r\nhello\r\n0\r\n\r\n",
};

static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "TRACE", "get", "", "GETT", "PRI", "DELETE" };
static const char *const versions[] = { "HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/9.9", "HTTP/1.1 ", "http/1.1", "HTTP/", "" };

#define PICK(a, list) list[pick(a, sizeof list / sizeof *list)]

static void put_path(struct attack *a, struct buf *out)
{
	const char *path = pick(a, 2) ? paths[pick(a, 6)] : PICK(a, paths);

	for (; *path; path++) {
		if (path[0] == '%' && path[1] == 's')
			buf_put_str(out, a->key);
		else
			buf_put_u8(out, (uint8_t)*path);
		path += *path == '%';
	}
}

static void put_request(struct attack *a, struct buf *out)
{
	buf_put_str(out, pick(a, 2) ? "GET" : PICK(a, methods));
	buf_put_str(out, " ");
	put_path(a, out);
	buf_printf(out, " %s\r\n", pick(a, 2) ? "HTTP/1.1" : PICK(a, versions));
	for (size_t n = pick(a, 4); n; n--)
		buf_put_str(out, PICK(a, headers));
	if (!pick(a, 50)) /* a header of any size, or of any number of lines */
		for (size_t n = 1 + pick(a, 5000), kind = pick(a, 2); n; n--)
			buf_put_str(out, kind ? "X: y\r\n" : "aaaaaaaaaaaaaaaa");
	buf_put_str(out, "\r\n");
	buf_put_str(out, PICK(a, bodies));
}

/* Begins one request, or two. */
static int send_request(struct attack *a)
{
	static struct buf text;
	size_t size;
	int fd = connect_to(a->port);

	if (fd < 0)
		return -1;
	buf_reset(&text);
	for (size_t n = 1 + !pick(a, 4); n; n--)
		put_request(a, &text);
	size = text.size;
	if (!buf_grow(&text, size + 4096)) /* room to grow into */
		return -1;
	if (pick(a, 2))
		size = mutate(a, text.data, size);
	send(fd, text.data, size, MSG_NOSIGNAL);
	if (!pick(a, 4))
		shutdown(fd, SHUT_WR);
	return fd;
}

/* What was answered, if it was. */
static void end_request(struct attack *a, int fd)
{
	char head[64] = "";
	int status = 0;

	if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 5) == 1 && recv(fd, head, sizeof head - 1, 0) > 0 &&
	    (sscanf(head, "HTTP/1.%*d %d", &status) != 1 || status < 0 || status > 599))
		status = 0;
	a->statuses[status]++;
	close(fd);
}

/* A byte more of each; whoever was hung up on comes again. */
static void trickle(struct attack *a, int *fds, int *at)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

	for (int i = 0; i < SLOW; i++) {
		if (fds[i] > 0 && at[i] < (int)sizeof text - 1 && send(fds[i], text + at[i]++, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1)
			continue;
		if (fds[i] > 0)
			close(fds[i]);
		fds[i] = connect_to(a->port);
		at[i] = 0;
	}
}

int attack_http(void *attack)
{
	struct attack *a = attack;
	int slow[SLOW] = { 0 }, at[SLOW] = { 0 }, fds[OPEN] = { 0 };

	a->ms = -proc_now_ms();
	for (; a->n_sent < a->n; a->n_sent++) {
		if (a->n_sent % 1000 == 0)
			trickle(a, slow, at);
		if (fds[a->n_sent % OPEN])
			end_request(a, fds[a->n_sent % OPEN]);
		fds[a->n_sent % OPEN] = send_request(a);
		if (fds[a->n_sent % OPEN] < 0)
			return 1;
	}
	for (int i = 0; i < SLOW; i++)
		close(slow[i]);
	a->ms += proc_now_ms();
	return 0;
}
