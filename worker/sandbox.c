/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIMIT_FILES 256 /* descriptors */

extern char **environ;

/* Nothing of it is needed, and who knows what is in it. Not only forgotten: it is gone. Our own switches for tests stay. */
void sandbox_forget_environment(void)
{
	char **kept = environ;

	for (char **e = environ; e && *e; e++)
		if (!strncmp(*e, "SEGFARM_", 8))
			*kept++ = *e;
		else
			memset(*e, 0, strlen(*e));
	if (kept)
		*kept = NULL;
}

static bool is_regular(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode);
}

static int limit(int what, rlim_t most, struct err *err)
{
	struct rlimit now, r = { most, most };

	if (!getrlimit((__rlimit_resource_t)what, &now) && now.rlim_max < most)
		r = (struct rlimit){ now.rlim_max, now.rlim_max };
	if (setrlimit((__rlimit_resource_t)what, &r))
		return err_set(err, ERR_UNSUPPORTED, "a limit of resources cannot be set: %s", strerror(errno));
	return 0;
}

static int set_limits(const struct sandbox *s, struct err *err)
{
	int ret = limit(RLIMIT_CORE, 0, err);

	if (!ret)
		ret = limit(RLIMIT_NOFILE, LIMIT_FILES, err);
	if (!ret && !is_regular(STDOUT_FILENO) && !is_regular(STDERR_FILENO)) /* those it may go on writing */
		ret = limit(RLIMIT_FSIZE, 0, err);
	if (!ret && s->memory_mib) /* not RLIMIT_AS: the source is mapped, and may have 50 GB */
		ret = limit(RLIMIT_DATA, (rlim_t)s->memory_mib << 20, err);
	return ret;
}

/* Of root only what it takes to read files and to reach sockets of others is left. */
static int drop_capabilities(struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];
	const uint32_t kept = 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH;

	if (syscall(SYS_capget, &head, sets))
		return err_set(err, ERR_UNSUPPORTED, "capabilities cannot be read: %s", strerror(errno));
	for (int i = 0; i < 2; i++) {
		sets[i].permitted &= i ? 0 : kept;
		sets[i].effective &= i ? 0 : kept;
		sets[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &head, sets))
		return err_set(err, ERR_UNSUPPORTED, "capabilities cannot be given up: %s", strerror(errno));
	return 0;
}

int sandbox_enter(const struct sandbox *s, struct err *err)
{
	int ret;

	if (SANDBOX_IS_OFF)
		return 0;
	ret = set_limits(s, err);
	if (!ret)
		ret = drop_capabilities(err);
	if (!ret && (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))
		ret = err_set(err, ERR_UNSUPPORTED, "new privileges cannot be given up: %s", strerror(errno));
	if (!ret && sandbox_landlock_version())
		ret = sandbox_enter_landlock(s, err);
	if (!ret)
		ret = sandbox_enter_seccomp(s, err);
	if (ret)
		err_prefix(err, "no sandbox");
	return ret;
}

const char *sandbox_lack(void)
{
	if (SANDBOX_IS_OFF)
		return "built with a sanitizer: workers run without a sandbox";
	if (!sandbox_landlock_version())
		return "this kernel or container has no Landlock (Linux 5.13, lsm=landlock): a file that takes a codec over can read "
		       "every file that this user may read. Run the workers as a user who may read the media only";
	return NULL;
}
