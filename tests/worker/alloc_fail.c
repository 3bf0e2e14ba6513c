/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/worker/alloc_fail.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EARLY_BYTES 65536
/* The sanitizers' own start asks for memory, before any checked code can run. */
#define UNCHECKED __attribute__((no_sanitize_address, no_sanitize("undefined")))

static _Thread_local bool is_watched, is_armed;
static int64_t n_asked, n_failing, n_live;
static char *who;

/* What dlsym itself asks for while the real functions are looked up; never given back. */
static _Alignas(16) char early[EARLY_BYTES];
static size_t n_early;

static struct {
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	void (*free)(void *);
} real;
static bool is_looking;

/* POSIX promises that a function pointer fits in a void *, C does not. */
UNCHECKED static void look_up(const char *name, void *function)
{
	void *p = dlsym(RTLD_NEXT, name);

	memcpy(function, &p, sizeof p);
}

/* False: not yet. */
UNCHECKED static bool find_real(void)
{
	if (real.free)
		return true;
	if (is_looking)
		return false;
	is_looking = true;
	look_up("malloc", &real.malloc);
	look_up("calloc", &real.calloc);
	look_up("realloc", &real.realloc);
	look_up("posix_memalign", &real.posix_memalign);
	look_up("aligned_alloc", &real.aligned_alloc);
	look_up("free", &real.free);
	is_looking = false;
	return true;
}

UNCHECKED static void *take_early(size_t size)
{
	void *p = early + n_early;

	size = (size + 15) & ~(size_t)15;
	if (size > sizeof early - n_early)
		abort();
	n_early += size;
	return p;
}

UNCHECKED static bool is_early(const void *p)
{
	return (const char *)p >= early && (const char *)p < early + sizeof early;
}

/* The one who asks is told by the address that the call returns to. */
UNCHECKED static bool is_refused(const void *caller)
{
	Dl_info info;
	const char *name;

	if (!is_armed || ++n_asked != n_failing)
		return false;
	if (dladdr(caller, &info) && info.dli_fname) {
		name = strrchr(info.dli_fname, '/');
		snprintf(who, ALLOC_FAIL_WHO, "%s", name ? name + 1 : info.dli_fname);
	}
	errno = ENOMEM;
	return true;
}

UNCHECKED static void *given(void *p)
{
	n_live += is_watched && p;
	return p;
}

UNCHECKED void *malloc(size_t size)
{
	if (!find_real())
		return take_early(size);
	return is_refused(__builtin_return_address(0)) ? NULL : given(real.malloc(size));
}

UNCHECKED void *calloc(size_t n, size_t size)
{
	if (!find_real())
		return take_early(n * size); /* as it was never used, it is zero */
	return is_refused(__builtin_return_address(0)) ? NULL : given(real.calloc(n, size));
}

UNCHECKED void *realloc(void *p, size_t size)
{
	void *to;

	if (!find_real() || is_early(p))
		abort(); /* dlsym does not do that */
	if (is_refused(__builtin_return_address(0)))
		return NULL;
	to = real.realloc(p, size);
	n_live += is_watched && !p && to;
	n_live -= is_watched && p && !to && !size;
	return to;
}

UNCHECKED int posix_memalign(void **p, size_t alignment, size_t size)
{
	int ret;

	find_real();
	if (is_refused(__builtin_return_address(0)))
		return ENOMEM;
	ret = real.posix_memalign(p, alignment, size);
	if (!ret)
		given(*p);
	return ret;
}

UNCHECKED void *aligned_alloc(size_t alignment, size_t size)
{
	find_real();
	return is_refused(__builtin_return_address(0)) ? NULL : given(real.aligned_alloc(alignment, size));
}

UNCHECKED void free(void *p)
{
	if (!p || is_early(p) || !find_real())
		return;
	n_live -= is_watched;
	real.free(p);
}

void alloc_fail_watch(void)
{
	n_live = 0;
	is_watched = true;
}

int64_t alloc_fail_unwatch(void)
{
	is_watched = false;
	return n_live;
}

void alloc_fail_arm(int64_t n, char culprit[ALLOC_FAIL_WHO])
{
	who = culprit;
	n_asked = 0;
	n_failing = n;
	is_armed = true;
}

int64_t alloc_fail_disarm(void)
{
	is_armed = false;
	return n_asked;
}
