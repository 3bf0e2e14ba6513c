/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Landlock: which files may be opened. Its numbers are here, since headers of distributions are older than their kernels.
 */
#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define CREATE_VERSION 1u
#define RULE_PATH_BENEATH 1

#define WRITE_FILE (1ull << 1)
#define READ_FILE (1ull << 2)
#define READ_DIR (1ull << 3)
#define FIRST 13                     /* rights of the first version: bits 0 to 12 */
#define REFER (1ull << 13)           /* version 2 */
#define TRUNCATE (1ull << 14)        /* 3 */
#define BIND_TCP 1ull                /* 4 */
#define IOCTL_DEVICE (1ull << 15)    /* 5 */
#define SCOPE_ALL 3ull               /* 6: abstract sockets, signals */

struct ruleset {
	uint64_t files, net, scoped;
};

struct beneath {
	uint64_t rights;
	int32_t fd;
} __attribute__((packed));

/* For those who connect by name, and for TLS. */
static const char *const names_files[] = {
	"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/run/systemd/resolve",
	"/run/NetworkManager", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/etc/gnutls",
};

/* For drivers of GPUs. */
static const char *const driver_files[] = {
	"/usr", "/lib*", "/opt", "/sys", "/proc/self", "/proc/driver", "/proc/cpuinfo", "/proc/meminfo", "/proc/modules",
	"/proc/devices", "/etc/ld.so.cache", "/etc/libva.conf", "/etc/drirc", "/etc/glvnd", "/etc/OpenCL",
	"/etc/vulkan",
};
static const char *const devices[] = { "/dev/dri", "/dev/nvidia*", "/dev/null", "/dev/urandom", "/dev/shm" };

int sandbox_landlock_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);

	return version > 0 ? (int)version : 0;
}

static struct ruleset everything(int version, bool has_devices)
{
	struct ruleset r = { .files = (1ull << FIRST) - 1 };

	if (version >= 2)
		r.files |= REFER;
	if (version >= 3)
		r.files |= TRUNCATE;
	if (version >= 4)
		r.net = BIND_TCP;
	if (version >= 5 && !has_devices)
		r.files |= IOCTL_DEVICE;
	if (version >= 6)
		r.scoped = SCOPE_ALL;
	return r;
}

/* What is not there cannot be read either. */
static int let_read(int rules, const char *path, uint64_t more, struct err *err)
{
	struct beneath rule = { READ_FILE | more, open(path, O_PATH | O_CLOEXEC) };
	struct stat st;
	int ret = 0;

	if (rule.fd < 0)
		return 0;
	if (!fstat(rule.fd, &st) && S_ISDIR(st.st_mode))
		rule.rights |= READ_DIR;
	if (syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &rule, 0))
		ret = err_set(err, ERR_UNSUPPORTED, "Landlock does not take %.300s: %s", path, strerror(errno));
	close(rule.fd);
	return ret;
}

static int let_read_all(int rules, const char *const *patterns, size_t n, uint64_t more, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++) {
		glob_t found;

		if (glob(patterns[i], 0, NULL, &found))
			continue;
		for (size_t k = 0; k < found.gl_pathc && !ret; k++)
			ret = let_read(rules, found.gl_pathv[k], more, err);
		globfree(&found);
	}
	return ret;
}

static int add_rules(const struct sandbox *s, int rules, struct err *err)
{
	int ret = 0;

	for (int i = 0; s->allow && i < s->allow->n_roots && !ret; i++)
		ret = let_read(rules, s->allow->roots[i], 0, err);
	if (!ret && s->has_inet)
		ret = let_read_all(rules, names_files, sizeof names_files / sizeof *names_files, 0, err);
	if (!ret && s->has_devices)
		ret = let_read_all(rules, driver_files, sizeof driver_files / sizeof *driver_files, 0, err);
	if (!ret && s->has_devices)
		ret = let_read_all(rules, devices, sizeof devices / sizeof *devices, WRITE_FILE, err);
	return ret;
}

int sandbox_enter_landlock(const struct sandbox *s, struct err *err)
{
	struct ruleset all = everything(sandbox_landlock_version(), s->has_devices);
	int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0), ret;

	if (rules < 0)
		return err_set(err, ERR_UNSUPPORTED, "Landlock refuses: %s", strerror(errno));
	ret = add_rules(s, rules, err);
	if (!ret && syscall(SYS_landlock_restrict_self, rules, 0))
		ret = err_set(err, ERR_UNSUPPORTED, "Landlock refuses: %s", strerror(errno));
	close(rules);
	return ret;
}
