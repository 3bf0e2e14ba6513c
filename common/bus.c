/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Field notes, each found the hard way by someone:
 *   ROUTER_MANDATORY  without it a send to a peer that is gone "succeeds".
 *   LINGER 0          else closing waits for ever for a peer that never reads; a worker's last words get a moment.
 *   IMMEDIATE         a DEALER queues nothing for a connection that does not exist yet.
 *   no routing id     two peers of one name lose messages silently; names travel in HELLO instead.
 *   ZMQ_FD            is edge-triggered: ZMQ_EVENTS has to be read before going to sleep.
 *   ipc bind          takes a path over from a live listener without a word: hence the lock file.
 *   CURVE             lets every key in unless a ZAP handler is there before the bind: bus_zap.c.
 *   TCP_KEEPALIVE     a host that has gone without a word would leave its connections here for ever.
 *   TCP_MAXRT         and a worker would wait 15 minutes before it connects anew to one that has come back.
 */
#include "common/bus.h"

#include "common/bus_zap.h"
#include "common/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#define HWM 2048 /* messages queued per peer and direction: over the most credits a worker has */
#define HANDSHAKE_MS 5000
#define CONNECT_MS 5000
#define RECONNECT_MS 50
#define RECONNECT_MAX_MS 500
#define KEEPALIVE_IDLE_S 30
#define KEEPALIVE_EVERY_S 10
#define KEEPALIVE_N 3
#define UNACKED_MS 30000 /* what was sent and not acknowledged for so long: the connection is dead */
#define IPC_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
#define N_PARTS 4 /* [peer id][protocol][verb][JSON] */

#define LAST_WORDS_MS 500

struct bus {
	void *context;
	void *socket;
	struct bus_zap *zap; /* NULL: whoever can connect may */
	bool is_router;
	int protocol;                /* that we speak */
	int fd;
	int epoll_fd;                /* of the socket's descriptor and ZAP's; -1: there is no ZAP */
	int lock_fd;		     /* -1: none */
	char path[IPC_PATH_MAX + 1]; /* of a bound ipc endpoint, else "" */
	char lock_path[IPC_PATH_MAX + 16];
	zmq_msg_t parts[N_PARTS]; /* of the message received last */
	zmq_msg_t surplus;
};

/* --- endpoints */

static const char *after(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);
	return strncmp(s, prefix, n) ? NULL : s + n;
}

/* 0: who binds takes any. */
static bool is_port(const char *s, bool is_bind)
{
	char *end;
	if (*s < '0' || *s > '9')
		return false;
	unsigned long port = strtoul(s, &end, 10);
	return !*end && port >= !is_bind && port <= 65535;
}

static int check_tcp(const char *endpoint, const char *address, bool is_bind, const struct keys_access *access, struct err *err)
{
	const char *colon = strrchr(address, ':');
	if (!colon || colon == address || !is_port(colon + 1, is_bind))
		return err_set(err, ERR_USAGE, "%s is not tcp://ADDRESS:PORT", endpoint);
	bool has_keys = access && access->has_keys;
	if (!has_keys && !(access && access->is_insecure))
		return err_set(err, ERR_USAGE,
			       "%s takes keys, which 'segfarm keygen' makes: --keys FILE and %s FILE; or --insecure, where everyone "
			       "who can reach it may be trusted",
			       endpoint, is_bind ? "--allow-workers" : "--dispatcher-key");
	if (has_keys && !zmq_has("curve"))
		return err_set(err, ERR_UNSUPPORTED, "this libzmq was built without CURVE: %s cannot be used with keys", endpoint);
	return 0;
}

static int check_endpoint(const char *endpoint, bool is_bind, const struct keys_access *access, struct err *err)
{
	const char *path = after(endpoint, "ipc://");
	const char *address = after(endpoint, "tcp://");
	if (address)
		return check_tcp(endpoint, address, is_bind, access, err);
	if (!path || !*path || *path == '@' || *path == '*')
		return err_set(err, ERR_USAGE, "%s is neither ipc://PATH nor tcp://ADDRESS:PORT", endpoint);
	if (strlen(path) > IPC_PATH_MAX)
		return err_set(err, ERR_USAGE, "the path of %s is longer than %zu bytes", endpoint, IPC_PATH_MAX);
	return 0;
}

/* --- the lock */

static bool is_same_file(int fd, const char *path)
{
	struct stat a, b;
	return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* The file may be unlinked by its last owner between our open and our flock: then again. */
static int take_lock(struct bus *bus, const char *path, struct err *err)
{
	snprintf(bus->lock_path, sizeof(bus->lock_path), "%s.lock", path);
	for (;;) {
		int fd = open(bus->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return err_set(err, ERR_USAGE, "cannot open %s: %s", bus->lock_path, strerror(errno));
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			int e = errno;
			close(fd);
			if (e == EINTR)
				continue;
			return err_set(err, ERR_USAGE, "another dispatcher is listening on ipc://%s", path);
		}
		if (is_same_file(fd, bus->lock_path)) {
			bus->lock_fd = fd;
			return 0;
		}
		close(fd);
	}
}

/* --- making */

static int set_int(struct bus *bus, int option, int value)
{
	return zmq_setsockopt(bus->socket, option, &value, sizeof(value));
}

static int set_options(struct bus *bus)
{
	int64_t max = bus->is_router ? BUS_INBOUND_MAX : BUS_MESSAGE_MAX;
	int rc = zmq_setsockopt(bus->socket, ZMQ_MAXMSGSIZE, &max, sizeof(max));
	rc |= set_int(bus, ZMQ_LINGER, bus->is_router ? 0 : LAST_WORDS_MS);
	rc |= set_int(bus, ZMQ_SNDHWM, HWM);
	rc |= set_int(bus, ZMQ_RCVHWM, HWM);
	rc |= set_int(bus, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
	rc |= set_int(bus, ZMQ_TCP_KEEPALIVE, 1);
	rc |= set_int(bus, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
	rc |= set_int(bus, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_EVERY_S);
	rc |= set_int(bus, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_N);
	rc |= set_int(bus, ZMQ_TCP_MAXRT, UNACKED_MS);
	if (bus->is_router)
		return rc | set_int(bus, ZMQ_ROUTER_MANDATORY, 1);
	rc |= set_int(bus, ZMQ_IMMEDIATE, 1);
	rc |= set_int(bus, ZMQ_CONNECT_TIMEOUT, CONNECT_MS);
	rc |= set_int(bus, ZMQ_RECONNECT_IVL, RECONNECT_MS);
	return rc | set_int(bus, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
}

static int set_keys(struct bus *bus, const struct keys_access *access)
{
	/* keys as text have their NUL with them */
	int rc = zmq_setsockopt(bus->socket, ZMQ_CURVE_SECRETKEY, access->pair.secret_key, KEYS_SIZE);
	rc |= zmq_setsockopt(bus->socket, ZMQ_CURVE_PUBLICKEY, access->pair.public_key, KEYS_SIZE);
	if (!bus->is_router)
		return rc | zmq_setsockopt(bus->socket, ZMQ_CURVE_SERVERKEY, access->server_key, KEYS_SIZE);
	rc |= set_int(bus, ZMQ_CURVE_SERVER, 1);
	return rc | zmq_setsockopt(bus->socket, ZMQ_ZAP_DOMAIN, BUS_ZAP_DOMAIN, strlen(BUS_ZAP_DOMAIN));
}

/* One descriptor for both sockets. */
static int join_descriptors(struct bus *bus, struct err *err)
{
	struct epoll_event event = { .events = EPOLLIN };
	bus->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (bus->epoll_fd < 0 || epoll_ctl(bus->epoll_fd, EPOLL_CTL_ADD, bus->fd, &event) < 0 ||
	    epoll_ctl(bus->epoll_fd, EPOLL_CTL_ADD, bus_zap_fd(bus->zap), &event) < 0)
		return err_set(err, ERR_RETRY, "no descriptor for ZeroMQ: %s", strerror(errno));
	return 0;
}

static int bus_create(struct bus **out, bool is_router, struct keys_access *access, struct err *err)
{
	struct bus *bus = calloc(1, sizeof(*bus));
	bool has_keys = access && access->has_keys;
	*out = bus;
	if (!bus)
		return err_set(err, ERR_NOMEM, "no memory for a socket");
	bus->is_router = is_router;
	bus->protocol = MSG_PROTOCOL;
	bus->lock_fd = bus->epoll_fd = -1;
	for (int i = 0; i < N_PARTS; i++)
		zmq_msg_init(&bus->parts[i]);
	zmq_msg_init(&bus->surplus);
	bus->context = zmq_ctx_new();
	if (!bus->context || zmq_ctx_set(bus->context, ZMQ_IO_THREADS, 1))
		return err_set(err, ERR_NOMEM, "cannot start ZeroMQ: %s", zmq_strerror(zmq_errno()));
	bus->socket = zmq_socket(bus->context, is_router ? ZMQ_ROUTER : ZMQ_DEALER);
	size_t size = sizeof(bus->fd);
	if (!bus->socket || set_options(bus) || (has_keys && set_keys(bus, access)) ||
	    zmq_getsockopt(bus->socket, ZMQ_FD, &bus->fd, &size))
		return err_set(err, ERR_RETRY, "cannot make a ZeroMQ socket: %s", zmq_strerror(zmq_errno()));
	if (!is_router || !has_keys)
		return 0;
	int rc = bus_zap_open(&bus->zap, bus->context, &access->allowed, err);
	return rc ? rc : join_descriptors(bus, err);
}

static int bind_socket(struct bus *bus, const char *endpoint, struct err *err)
{
	const char *path = after(endpoint, "ipc://");
	if (path && take_lock(bus, path, err))
		return ERR_USAGE;
	/* The socket's mode follows the umask; whoever can open it can give and take jobs. */
	mode_t old = umask(0077);
	if (strchr(endpoint, '['))
		set_int(bus, ZMQ_IPV6, 1);
	int rc = zmq_bind(bus->socket, endpoint);
	umask(old);
	if (rc)
		return err_set(err, ERR_USAGE, "cannot listen on %s: %s", endpoint, zmq_strerror(zmq_errno()));
	if (path)
		snprintf(bus->path, sizeof(bus->path), "%s", path);
	return 0;
}

int bus_bind(struct bus **bus, const char *endpoint, struct keys_access *access, struct err *err)
{
	*bus = NULL;
	int rc = check_endpoint(endpoint, true, access, err);
	if (!rc)
		rc = bus_create(bus, true, access, err);
	if (!rc)
		rc = bind_socket(*bus, endpoint, err);
	if (rc) {
		bus_destroy(*bus);
		*bus = NULL;
	}
	return rc;
}

int bus_connect(struct bus **bus, const char *endpoint, struct keys_access *access, struct err *err)
{
	*bus = NULL;
	int rc = check_endpoint(endpoint, false, access, err);
	if (!rc)
		rc = bus_create(bus, false, access, err);
	if (!rc && strchr(endpoint, '['))
		set_int(*bus, ZMQ_IPV6, 1);
	if (!rc && zmq_connect((*bus)->socket, endpoint))
		rc = err_set(err, ERR_USAGE, "cannot connect to %s: %s", endpoint, zmq_strerror(zmq_errno()));
	if (rc) {
		bus_destroy(*bus);
		*bus = NULL;
	}
	return rc;
}

void bus_destroy(struct bus *bus)
{
	if (!bus)
		return;
	for (int i = 0; i < N_PARTS; i++)
		zmq_msg_close(&bus->parts[i]);
	zmq_msg_close(&bus->surplus);
	if (bus->socket)
		zmq_close(bus->socket);
	if (bus->epoll_fd >= 0)
		close(bus->epoll_fd);
	bus_zap_close(bus->zap);
	while (bus->context && zmq_ctx_term(bus->context) && zmq_errno() == EINTR)
		;
	if (bus->path[0])
		unlink(bus->path);
	if (bus->lock_fd >= 0) {
		unlink(bus->lock_path);
		close(bus->lock_fd);
	}
	free(bus);
}

int bus_fd(const struct bus *bus)
{
	return bus->epoll_fd >= 0 ? bus->epoll_fd : bus->fd;
}

/* --- sending */

/* 0, or an errno. */
static int send_part(struct bus *bus, const void *data, size_t size, bool has_more)
{
	int flags = ZMQ_DONTWAIT | (has_more ? ZMQ_SNDMORE : 0);
	while (zmq_send(bus->socket, data, size, flags) < 0)
		if (zmq_errno() != EINTR)
			return zmq_errno();
	return 0;
}

static int send_protocol(struct bus *bus, const struct bus_peer *peer)
{
	char text[8];
	snprintf(text, sizeof(text), "SF%02d", peer && peer->protocol ? peer->protocol : bus->protocol);
	return send_part(bus, text, strlen(text), true);
}

int bus_send(struct bus *bus, const struct bus_peer *peer, enum msg_verb verb, struct bytes json, struct err *err)
{
	ASSERT(!peer == !bus->is_router);
	if (json.size > BUS_MESSAGE_MAX)
		return err_set(err, ERR_LIMIT, "a %s of %zu bytes is over the limit of %d", msg_verb_name(verb),
			       json.size, BUS_MESSAGE_MAX);
	const char *name = msg_verb_name(verb);
	if (peer && bus->zap && !bus_zap_allows(bus->zap, peer->key))
		return err_set(err, ERR_RETRY, "cannot send %s: the peer's key is not allowed any more", name);
	int e = peer ? send_part(bus, peer->id, peer->size, true) : 0;
	/* When a later part cannot be sent either, the library has taken back those before it. */
	if (!e)
		e = send_protocol(bus, peer);
	if (!e)
		e = send_part(bus, name, strlen(name), true);
	if (!e)
		e = send_part(bus, json.data, json.size, false);
	if (!e)
		return 0;
	if (e == EHOSTUNREACH)
		return err_set(err, ERR_RETRY, "cannot send %s: the peer is gone", name);
	return err_set(err, ERR_RETRY, "cannot send %s: %s", name,
		       e == EAGAIN ? "not connected, or the queue is full" : zmq_strerror(e));
}

/* --- receiving */

static struct bytes part_bytes(zmq_msg_t *part)
{
	return (struct bytes){ zmq_msg_data(part), zmq_msg_size(part) };
}

/* All parts of one message; how many they were (0: nothing there), or < 0. Messages come whole or not at all. */
static int recv_parts(struct bus *bus, struct err *err)
{
	int n = 0;
	for (;;) {
		zmq_msg_t *part = n < N_PARTS ? &bus->parts[n] : &bus->surplus;
		if (zmq_msg_recv(part, bus->socket, ZMQ_DONTWAIT) < 0) {
			int e = zmq_errno();
			if (e == EINTR)
				continue;
			if (e == EAGAIN && n == 0)
				return 0;
			return err_set(err, ERR_RETRY, "cannot receive: %s", zmq_strerror(e));
		}
		if (n <= N_PARTS)
			n++;
		if (!zmq_msg_more(part))
			return n;
	}
}

/* Who has sent what was received. */
static int get_peer(struct bus *bus, struct bus_peer *peer, struct err *err)
{
	struct bytes id = part_bytes(&bus->parts[0]);
	const char *key = bus->zap ? zmq_msg_gets(&bus->parts[1], "User-Id") : NULL;
	peer->size = 0;
	peer->protocol = 0;
	snprintf(peer->key, sizeof(peer->key), "%s", key ? key : "");
	if (id.size > BUS_PEER_MAX)
		return err_set(err, ERR_DATA, "a message of a peer with an id of %zu bytes", id.size);
	memcpy(peer->id, id.data, id.size);
	peer->size = (uint8_t)id.size;
	if (bus->zap && !bus_zap_allows(bus->zap, peer->key))
		return err_set(err, ERR_DATA, "a message of a peer whose key is not allowed any more");
	return 0;
}

/* "SF07": 7; 0: it is none. */
static int get_protocol(struct bytes part)
{
	const char *text = (const char *)part.data;
	if (part.size != 4 || memcmp(text, "SF", 2) || text[2] < '0' || text[2] > '9' || text[3] < '0' || text[3] > '9')
		return 0;
	return 10 * (text[2] - '0') + text[3] - '0';
}

static bool is_understood(const struct bus *bus, int protocol)
{
	return bus->is_router ? protocol >= MSG_PROTOCOL_OLDEST && protocol <= MSG_PROTOCOL : protocol == bus->protocol;
}

int bus_recv(struct bus *bus, struct bus_peer *peer, enum msg_verb *verb, struct bytes *json, struct err *err)
{
	if (bus->zap)
		bus_zap_work(bus->zap);
	int n = recv_parts(bus, err);
	if (n <= 0)
		return n;
	zmq_msg_t *part = bus->parts;
	struct bus_peer other;
	if (!peer)
		peer = &other;
	if (bus->is_router) {
		int rc = get_peer(bus, peer, err);
		if (rc < 0)
			return rc;
		part++;
		n--;
	}
	if (n != N_PARTS - 1)
		return err_set(err, ERR_DATA, "a message of a wrong number of parts");
	int protocol = get_protocol(part_bytes(part++));
	if (!protocol)
		return err_set(err, ERR_DATA, "a message without a protocol");
	int v = msg_verb_from_name(part_bytes(part++));
	if (!is_understood(bus, protocol) && v != MSG_REFUSE) {
		*verb = v < 0 ? MSG_BEAT : (enum msg_verb)v;
		return err_set(err, ERR_UNSUPPORTED, "a message of protocol %d", protocol);
	}
	peer->protocol = (uint8_t)protocol;
	if (v < 0)
		return err_set(err, ERR_DATA, "a message with an unknown verb");
	*verb = (enum msg_verb)v;
	*json = part_bytes(part);
	return 1;
}

void bus_set_protocol(struct bus *bus, int protocol)
{
	ASSERT(!bus->is_router && protocol > 0 && protocol <= MSG_PROTOCOL_MAX);
	bus->protocol = protocol;
}

void bus_endpoint(const struct bus *bus, char *endpoint, size_t size)
{
	if (zmq_getsockopt(bus->socket, ZMQ_LAST_ENDPOINT, endpoint, &size))
		*endpoint = '\0';
}

static int get_events(struct bus *bus)
{
	int events = 0;
	size_t size = sizeof(events);
	while (zmq_getsockopt(bus->socket, ZMQ_EVENTS, &events, &size) < 0)
		if (zmq_errno() != EINTR)
			return ZMQ_POLLIN; /* let bus_recv say what is wrong */
	return events;
}

bool bus_is_connected(struct bus *bus)
{
	return get_events(bus) & ZMQ_POLLOUT;
}

static bool is_readable(struct bus *bus)
{
	if (bus->zap)
		bus_zap_work(bus->zap);
	return get_events(bus) & ZMQ_POLLIN;
}

int bus_wait(struct bus *bus, int timeout_ms)
{
	int64_t end_ms = timeout_ms < 0 ? INT64_MAX : proc_now_ms() + timeout_ms;
	while (!is_readable(bus)) {
		int64_t left_ms = timeout_ms < 0 ? -1 : end_ms - proc_now_ms();
		if (timeout_ms >= 0 && left_ms <= 0)
			return 0;
		struct pollfd p = { .fd = bus_fd(bus), .events = POLLIN };
		if (poll(&p, 1, (int)left_ms) < 0)
			return 0;
	}
	return 1;
}
