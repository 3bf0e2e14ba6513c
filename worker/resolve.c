/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/resolve.h"

#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static _Thread_local const struct allow *guard;
static _Thread_local char refused[NI_MAXHOST];

void resolve_guard(const struct allow *allow)
{
	guard = allow;
	refused[0] = 0;
}

const char *resolve_refused(void)
{
	return refused;
}

static resolver *next(void)
{
	resolver *fn;
	void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

	memcpy(&fn, &symbol, sizeof fn);
	return fn;
}

/* One that is not allowed is enough: nobody has any business of being at two such places. */
int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
		struct addrinfo **restrict found)
{
	resolver *real = next();
	int ret = real ? real(node, service, hints, found) : EAI_SYSTEM;

	for (struct addrinfo *a = guard && !ret ? *found : NULL; a; a = a->ai_next) {
		if (allow_address(guard, a->ai_addr))
			continue;
		if (getnameinfo(a->ai_addr, a->ai_addrlen, refused, sizeof refused, NULL, 0, NI_NUMERICHOST))
			strcpy(refused, "an address that cannot be told");
		freeaddrinfo(*found);
		*found = NULL;
		return EAI_FAIL;
	}
	return ret;
}
