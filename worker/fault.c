/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/fault.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

static struct input *watched;
static uintptr_t map, map_end; /* of its pages */
static struct sigaction before;

static void take_away(uintptr_t page)
{
	int64_t left = (int64_t)(page - map);

	if (left < watched->have)
		watched->size = watched->have = left;
	watched->status = ERR_DATA;
}

/* All pages from there on are gone as well, or nobody needs them any more. The message is there already: only what may be done in a
 * handler is done here (mmap is a bare system call). */
static void on_bus(int number, siginfo_t *info, void *context)
{
	uintptr_t page = (uintptr_t)info->si_addr & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);

	(void)number, (void)context;
	if (info->si_code > 0 && watched && page >= map && page < map_end &&
	    mmap((void *)page, map_end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
		take_away(page);
	else if (!sigaction(SIGBUS, &before, NULL))
		raise(SIGBUS); /* it is what it is without us */
}

void fault_watch(struct input *in, const char *path)
{
	struct sigaction bus = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_RESTART };
	uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
	struct sigaction old;

	watched = NULL;
	if (!in)
		return;
	map = (uintptr_t)in->data;
	map_end = (map + (uintptr_t)in->have + page_size - 1) & ~(page_size - 1);
	err_set(&in->err, ERR_DATA, "%.300s became shorter while it was read", path);
	if (!sigaction(SIGBUS, &bus, &old) && old.sa_sigaction != on_bus)
		before = old;
	watched = in;
}
