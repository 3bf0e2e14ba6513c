/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/cable.h"

#include "common/proc.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PACKET_MAX 2048
#define PACKETS 16384    /* on their way at a time */
#define QUEUE_US 500000  /* what a slow line takes in advance, before it drops */

/* ---- the process that is the cable */

struct packet {
	int64_t due_us;
	int size;
	uint8_t data[PACKET_MAX];
};

struct direction {
	int from, to;
	struct packet *packets; /* a ring */
	unsigned head, n;
	int64_t free_us;        /* when the line has sent what it took */
};

static uint32_t next_random(void)
{
	static uint32_t x = 2463534242; /* the same packets in every run */

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}

static void take(struct direction *d, struct cable_faults *f)
{
	struct packet *p = &d->packets[(d->head + d->n) % PACKETS];
	int64_t now_us = proc_now_us();

	p->size = (int)read(d->from, p->data, sizeof p->data);
	if (p->size <= 0 || f->is_cut || d->n == PACKETS - 1 || (int)(next_random() % 1000) < f->loss_permille)
		return;
	if (d->free_us < now_us)
		d->free_us = now_us;
	if (f->kbit_per_s && d->free_us - now_us > QUEUE_US)
		return;
	if (f->kbit_per_s)
		d->free_us += (int64_t)p->size * 8000 / f->kbit_per_s;
	p->due_us = d->free_us + f->delay_ms * 1000;
	d->n++;
}

/* Sends what is due; when the next one is. */
static int64_t give(struct direction *d, struct cable_faults *f)
{
	while (d->n) {
		struct packet *p = &d->packets[d->head];

		if (p->due_us > proc_now_us())
			return p->due_us;
		if (!f->is_cut && write(d->to, p->data, (size_t)p->size) < 0 && errno != EAGAIN)
			_exit(1);
		d->head = (d->head + 1) % PACKETS;
		d->n--;
	}
	return INT64_MAX;
}

static void carry(int here, int there, struct cable_faults *f)
{
	struct direction d[2] = { { .from = here, .to = there }, { .from = there, .to = here } };

	for (int i = 0; i < 2; i++)
		d[i].packets = malloc(sizeof(struct packet) * PACKETS);
	if (!d[0].packets || !d[1].packets)
		_exit(1);
	for (;;) {
		struct pollfd fds[2] = { { .fd = here, .events = POLLIN }, { .fd = there, .events = POLLIN } };
		int64_t a = give(&d[0], f), b = give(&d[1], f), wait_us = (a < b ? a : b) - proc_now_us();
		struct timespec wait = { .tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000 };

		if (wait_us <= 0 || wait_us > 1000000)
			wait = (struct timespec){ .tv_sec = wait_us > 0 };
		ppoll(fds, 2, &wait, NULL);
		for (int i = 0; i < 2; i++)
			if (fds[i].revents)
				take(&d[i], f);
	}
}

/* ---- namespaces and devices */

static bool cannot(const char *what)
{
	fprintf(stderr, "skipped: two hosts in network namespaces (%s: %s)\n", what, strerror(errno));
	return false;
}

static bool set_up(const char *name, const char *address)
{
	struct ifreq r = { 0 };
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_ok = fd >= 0;

	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
	if (address) {
		inet_pton(AF_INET, address, &a.sin_addr);
		memcpy(&r.ifr_addr, &a, sizeof a);
		is_ok &= !ioctl(fd, SIOCSIFADDR, &r);
		inet_pton(AF_INET, "255.255.255.0", &a.sin_addr);
		memcpy(&r.ifr_netmask, &a, sizeof a);
		is_ok &= !ioctl(fd, SIOCSIFNETMASK, &r);
	}
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	is_ok &= !ioctl(fd, SIOCSIFFLAGS, &r);
	if (fd >= 0)
		close(fd);
	return is_ok;
}

/* A namespace of our own with the end of the cable in it: the TUN's descriptor, -1. */
static int make_host(const char *address)
{
	struct ifreq r = { .ifr_name = "cable", .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return cannot("unshare"), -1;
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
		return cannot("/dev/net/tun"), -1;
	if (!set_up("lo", NULL) || !set_up("cable", address))
		return cannot("the interfaces"), -1;
	return fd;
}

bool cable_open(struct cable *cable)
{
	int here = make_host(CABLE_HERE), here_ns, there, there_ns;

	if (here < 0)
		return false;
	here_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	there = make_host(CABLE_THERE);
	there_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (there < 0)
		return false;
	ck_assert_int_eq(setns(here_ns, CLONE_NEWNET), 0);
	cable->faults = mmap(NULL, sizeof *cable->faults, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(cable->faults, MAP_FAILED);
	snprintf(cable->there, sizeof cable->there, "/proc/%d/fd/%d", (int)getpid(), there_ns);
	cable->pid = fork();
	ck_assert_int_ge(cable->pid, 0);
	if (!cable->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		carry(here, there, cable->faults);
	}
	close(here);
	close(there);
	return true;
}
