/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Many players at once: players PORT LIST [IDLE]. Each line of LIST is "PATH FILE"; all paths are asked for at the same time, each on
 * a connection of its own, from 127.0.0.1:PORT, and what comes must be the bytes of FILE. 503 is asked again after a second, as its
 * Retry-After says. IDLE connections are opened before, and must be open still at the end. Prints the distribution of the times
 * from the request to the last byte; status 1 if anything is lost or wrong.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 8192
#define TRIES_MAX 300
#define RETRY_MS 1000

struct player {
	char *path;
	const char *file;
	size_t file_size;
	int fd;
	int64_t begin_us, again_us; /* when it began, when it asks again; 0 */
	double ms;                  /* until the last byte; < 0: not yet */
	char head[HEAD_MAX];
	size_t n_head, n_body;      /* received */
	bool has_head, is_sent, is_wrong;
	int status, tries;
};

static struct sockaddr_in server;
static int epoll;

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static const char *map(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *data;

	if (fd < 0 || fstat(fd, &st))
		die(path);
	*size = (size_t)st.st_size;
	data = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	return data == MAP_FAILED ? NULL : data;
}

static struct player *read_list(const char *path, size_t *n)
{
	FILE *list = fopen(path, "re");
	struct player *all = NULL;
	char line[4096], url[2048], file[2048];

	if (!list)
		die(path);
	for (*n = 0; fgets(line, sizeof line, list); (*n)++) {
		all = realloc(all, (*n + 1) * sizeof *all);
		if (!all || sscanf(line, "%2047s %2047s", url, file) != 2)
			die(path);
		memset(&all[*n], 0, sizeof *all);
		all[*n].path = strdup(url);
		all[*n].file = map(file, &all[*n].file_size);
		all[*n].ms = -1;
	}
	fclose(list);
	return all;
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || (connect(fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS))
		die("connect");
	return fd;
}

static void begin(struct player *p)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.ptr = p };

	p->fd = dial();
	p->n_head = p->n_body = 0;
	p->has_head = p->is_sent = false;
	p->again_us = 0;
	p->tries++;
	if (!p->begin_us)
		p->begin_us = now_us();
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &event))
		die("epoll_ctl");
}

static void ask(struct player *p)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = p };
	char text[2300];
	int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\nUser-Agent: %p\r\nConnection: close\r\n\r\n", p->path, (void *)p);

	if (write(p->fd, text, (size_t)n) != n)
		return; /* not connected, perhaps refused: reading tells */
	p->is_sent = true;
	epoll_ctl(epoll, EPOLL_CTL_MOD, p->fd, &event);
}

static void end(struct player *p)
{
	close(p->fd);
	p->fd = -1;
	if ((!p->has_head || p->status == 503) && p->tries < TRIES_MAX) {
		p->again_us = now_us() + RETRY_MS * 1000;
		return;
	}
	p->ms = (double)(now_us() - p->begin_us) / 1000;
	p->is_wrong |= p->status != 200 || p->n_body != p->file_size;
}

static void take_body(struct player *p, const char *data, size_t size)
{
	if (p->status == 200)
		p->is_wrong |= size > p->file_size - p->n_body || memcmp(p->file + p->n_body, data, size);
	p->n_body += size;
}

static void take_head(struct player *p, const char *data, size_t size)
{
	const char *end_of_head;
	size_t take = size < HEAD_MAX - 1 - p->n_head ? size : HEAD_MAX - 1 - p->n_head;

	memcpy(p->head + p->n_head, data, take);
	p->n_head += take;
	p->head[p->n_head] = '\0';
	end_of_head = strstr(p->head, "\r\n\r\n");
	if (!end_of_head)
		return;
	p->has_head = true;
	p->status = atoi(p->head + 9);
	/* what of this call lies behind the head */
	take -= (size_t)(p->head + p->n_head - (end_of_head + 4));
	take_body(p, data + take, size - take);
}

/* false: it is over. */
static bool receive(struct player *p)
{
	static char room[1 << 18];
	ssize_t n;

	while ((n = read(p->fd, room, sizeof room)) > 0) {
		if (p->has_head)
			take_body(p, room, (size_t)n);
		else
			take_head(p, room, (size_t)n);
	}
	return n < 0 && errno == EAGAIN;
}

static void run(struct player *all, size_t n)
{
	struct epoll_event events[256];
	size_t left = n;

	for (size_t i = 0; i < n; i++)
		begin(&all[i]);
	while (left) {
		int m = epoll_wait(epoll, events, 256, 100);

		for (int i = 0; i < m; i++) {
			struct player *p = events[i].data.ptr;

			if (!p->is_sent && events[i].events & EPOLLOUT)
				ask(p);
			if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !receive(p))
				end(p);
		}
		left = 0;
		for (size_t i = 0; i < n; i++) {
			if (all[i].again_us && now_us() >= all[i].again_us)
				begin(&all[i]);
			left += all[i].ms < 0;
		}
	}
}

static int compare(const void *a, const void *b)
{
	const struct player *x = a, *y = b;

	return (x->ms > y->ms) - (x->ms < y->ms);
}

static int report(struct player *all, size_t n, const int *idle, size_t n_idle)
{
	size_t wrong = 0, again = 0, closed = 0;
	uint64_t bytes = 0;
	char byte;

	for (size_t i = 0; i < n; i++) {
		wrong += all[i].is_wrong;
		again += (size_t)all[i].tries - 1;
		bytes += all[i].n_body;
		if (all[i].is_wrong)
			fprintf(stderr, "%s: status %d, %zu of %zu bytes\n", all[i].path, all[i].status, all[i].n_body, all[i].file_size);
	}
	for (size_t i = 0; i < n_idle; i++)
		closed += recv(idle[i], &byte, 1, MSG_DONTWAIT) == 0;
	qsort(all, n, sizeof *all, compare);
	printf("%zu requests at once, %zu lost or wrong, %zu asked again after 503; %" PRIu64 " MiB; ms: p50 %.0f, p90 %.0f, p99 %.0f, most %.0f", n,
	       wrong, again, bytes >> 20, all[n / 2].ms, all[n * 9 / 10].ms, all[n * 99 / 100].ms, all[n - 1].ms);
	if (n_idle)
		printf("; %zu of %zu idle connections still open", n_idle - closed, n_idle);
	printf("\n");
	return wrong || closed;
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	struct player *all;
	size_t n, n_idle = argc > 3 ? (size_t)atoi(argv[3]) : 0;
	int *idle = calloc(n_idle + 1, sizeof *idle);

	if (argc < 3)
		return 2;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	all = read_list(argv[2], &n);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < n_idle; i++) {
		idle[i] = dial();
		if (i % 100 == 99)
			usleep(2000); /* the queue of those to be accepted is not endless */
	}
	run(all, n);
	return report(all, n, idle, n_idle);
}
