/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/bus_zap.h"

#include "common/log.h"
#include "common/proc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define ENDPOINT "inproc://zeromq.zap.01" /* where libzmq looks for it */
#define REFRESH_MS 1000                   /* between two looks at the list's file */
#define KEY_BYTES 32

struct bus_zap {
	void *socket;
	struct keys_list *allowed;
	int64_t refresh_ms;
	struct log_limit log;
};

/* Of a request, as RFC 27 names them; what is longer is cut. Peers have a hand in the address and the credentials only. */
enum part { VERSION, REQUEST, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS, N_PARTS };
struct request {
	struct {
		uint8_t data[256];
		size_t size;
	} parts[N_PARTS];
	int n;
};

static bool is_text(const struct request *r, enum part part, const char *text)
{
	return r->parts[part].size == strlen(text) && !memcmp(r->parts[part].data, text, strlen(text));
}

/* false: nothing is asked. */
static bool receive(struct bus_zap *zap, struct request *r)
{
	uint8_t surplus[1];
	int more = 1;

	for (r->n = 0; more; r->n++) {
		bool is_wanted = r->n < N_PARTS;
		uint8_t *data = is_wanted ? r->parts[r->n].data : surplus;
		size_t max = is_wanted ? sizeof(r->parts[0].data) : sizeof(surplus), size_more = sizeof(more);
		int size = zmq_recv(zap->socket, data, max, ZMQ_DONTWAIT);

		if (size < 0 && zmq_errno() == EINTR) {
			r->n--;
			continue;
		}
		if (size < 0)
			return false;
		if (is_wanted)
			r->parts[r->n].size = (size_t)size < max ? (size_t)size : max;
		zmq_getsockopt(zap->socket, ZMQ_RCVMORE, &more, &size_more);
	}
	return true;
}

static void send_part(struct bus_zap *zap, const void *data, size_t size, bool has_more)
{
	while (zmq_send(zap->socket, data, size, ZMQ_DONTWAIT | (has_more ? ZMQ_SNDMORE : 0)) < 0 && zmq_errno() == EINTR)
		;
}

static void answer(struct bus_zap *zap, const struct request *r, const char *user)
{
	send_part(zap, "1.0", 3, true);
	send_part(zap, r->parts[REQUEST].data, r->parts[REQUEST].size, true);
	send_part(zap, user ? "200" : "400", 3, true);
	send_part(zap, "", 0, true);
	send_part(zap, user ? user : "", user ? strlen(user) : 0, true);
	send_part(zap, "", 0, false); /* metadata */
}

static void refresh(struct bus_zap *zap)
{
	struct err err;
	int ret = keys_list_refresh(zap->allowed, &err);

	if (ret < 0)
		log_error("list of workers not read, the old one stays", "reason=\"%s\"", err.msg);
	else if (ret > 0)
		log_info("list of workers read", "file=\"%s\" keys=%zu", zap->allowed->path, zap->allowed->n);
	zap->refresh_ms = proc_now_ms() + REFRESH_MS;
}

static void decide(struct bus_zap *zap, const struct request *r)
{
	char key[KEYS_SIZE];
	unsigned unsaid;

	if (r->n != N_PARTS || !is_text(r, VERSION, "1.0") || !is_text(r, DOMAIN, BUS_ZAP_DOMAIN) || !is_text(r, MECHANISM, "CURVE") ||
	    r->parts[CREDENTIALS].size != KEY_BYTES) {
		answer(zap, r, NULL);
		return;
	}
	zmq_z85_encode(key, r->parts[CREDENTIALS].data, KEY_BYTES);
	refresh(zap);
	if (keys_list_has(zap->allowed, key)) {
		answer(zap, r, key);
		return;
	}
	if (log_may(&zap->log, &unsaid))
		log_warn("worker's key is not allowed", "key=%s address=%.*s unsaid=%u", key, (int)r->parts[ADDRESS].size,
			 (const char *)r->parts[ADDRESS].data, unsaid);
	answer(zap, r, NULL);
}

void bus_zap_work(struct bus_zap *zap)
{
	struct request r = { 0 };

	while (receive(zap, &r))
		decide(zap, &r);
}

bool bus_zap_allows(struct bus_zap *zap, const char *key)
{
	if (proc_now_ms() >= zap->refresh_ms)
		refresh(zap);
	return keys_list_has(zap->allowed, key);
}

int bus_zap_open(struct bus_zap **out, void *context, struct keys_list *allowed, struct err *err)
{
	struct bus_zap *zap = calloc(1, sizeof(*zap));
	int linger = 0;

	*out = zap;
	if (!zap)
		return err_set(err, ERR_NOMEM, "no memory for a socket");
	zap->allowed = allowed;
	zap->socket = zmq_socket(context, ZMQ_REP);
	if (!zap->socket || zmq_setsockopt(zap->socket, ZMQ_LINGER, &linger, sizeof(linger)) || zmq_bind(zap->socket, ENDPOINT))
		return err_set(err, ERR_RETRY, "cannot make a ZeroMQ socket for ZAP: %s", zmq_strerror(zmq_errno()));
	return 0;
}

void bus_zap_close(struct bus_zap *zap)
{
	if (!zap)
		return;
	if (zap->socket)
		zmq_close(zap->socket);
	free(zap);
}

int bus_zap_fd(const struct bus_zap *zap)
{
	int fd = -1;
	size_t size = sizeof(fd);

	zmq_getsockopt(zap->socket, ZMQ_FD, &fd, &size);
	return fd;
}
