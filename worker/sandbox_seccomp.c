/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Seccomp: which system calls are left.
 */
#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_OF(a) (sizeof(a) / sizeof *(a))
#define MAP_KIND 0x0fu /* the bits of MAP_SHARED and MAP_PRIVATE */
#define SOCK_KIND 0x0fu

/* Whatever their arguments: libzmq, hiredis, libavformat, the codecs and the C library. */
static const int allowed[] = {
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(lseek),
	SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(access),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(eventfd2),
	SCMP_SYS(connect), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg),
	SCMP_SYS(recvmmsg), SCMP_SYS(shutdown), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(munmap), SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(mremap),
	SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(sched_setscheduler), SCMP_SYS(getcpu),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday),
	SCMP_SYS(time), SCMP_SYS(getitimer), SCMP_SYS(setitimer), SCMP_SYS(getrandom),
	SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(getrusage), SCMP_SYS(uname), SCMP_SYS(sysinfo),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall),
	SCMP_SYS(exit), SCMP_SYS(exit_group),
};

/* No codec has a reason for these: who calls them has been taken over. */
static const int fatal[] = {
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kcmp), SCMP_SYS(pidfd_getfd),
	SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4),
	SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(unshare), SCMP_SYS(setns),
	SCMP_SYS(open_by_handle_at), SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup),
	SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setresuid),
	SCMP_SYS(setresgid),
};
static const int starting[] = { SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork) };

static const int fcntls[] = { F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL };

struct filter {
	scmp_filter_ctx ctx;
	int ret;
};

#define rule(f, action, call, ...)                                                                                          \
	do {                                                                                                                \
		const struct scmp_arg_cmp cmp[] = { __VA_ARGS__ };                                                          \
		if (!(f)->ret)                                                                                              \
			(f)->ret = seccomp_rule_add_array((f)->ctx, action, call, sizeof cmp / sizeof *cmp, cmp);           \
	} while (0)

static void rule_each(struct filter *f, uint32_t action, const int *calls, size_t n)
{
	for (size_t i = 0; i < n && !f->ret; i++)
		f->ret = seccomp_rule_add_array(f->ctx, action, calls[i], 0, NULL);
}

/* Memory: nothing that is written is run, and nothing that is written is shared. */
static void let_map(struct filter *f)
{
	rule(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_WRITE | PROT_EXEC, 0));
	rule(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
	     SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_KIND, MAP_PRIVATE));
	rule(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

static void let_open(struct filter *f)
{
	const scmp_datum_t writing = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);

	rule(f, SCMP_ACT_ALLOW, SCMP_SYS(open), SCMP_A1(SCMP_CMP_MASKED_EQ, writing, 0));
	rule(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), SCMP_A2(SCMP_CMP_MASKED_EQ, writing, 0));
	for (size_t i = 0; i < N_OF(fcntls); i++)
		rule(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)fcntls[i]));
}

static void let_connect(struct filter *f, const struct sandbox *s)
{
	if (s->has_unix)
		rule(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_UNIX),
		     SCMP_A1(SCMP_CMP_MASKED_EQ, SOCK_KIND, SOCK_STREAM));
	for (int i = 0; i < 2 && s->has_inet; i++) {
		rule(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, i ? AF_INET : AF_INET6),
		     SCMP_A1(SCMP_CMP_MASKED_EQ, SOCK_KIND, SOCK_STREAM));
		rule(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, i ? AF_INET : AF_INET6),
		     SCMP_A1(SCMP_CMP_MASKED_EQ, SOCK_KIND, SOCK_DGRAM)); /* names are asked for */
	}
}

/* Threads, but no processes. clone3's flags are out of sight: the C library does without. */
static void let_thread(struct filter *f, bool is_all)
{
	if (!is_all)
		rule(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	rule(f, SCMP_ACT_TRAP, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	rule(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
}

static void let_rest(struct filter *f)
{
	rule(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
	rule(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0)); /* to look at */
	rule(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())); /* raise, abort */
}

static void fill(struct filter *f, const struct sandbox *s)
{
	rule_each(f, SCMP_ACT_TRAP, fatal, N_OF(fatal));
	rule_each(f, s->has_devices ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_TRAP, starting, N_OF(starting)); /* drivers try */
	let_thread(f, s->has_devices);
	if (s->has_devices)
		return;
	rule_each(f, SCMP_ACT_ALLOW, allowed, N_OF(allowed));
	let_map(f);
	let_open(f);
	let_connect(f, s);
	let_rest(f);
}

int sandbox_enter_seccomp(const struct sandbox *s, struct err *err)
{
	struct filter f = { seccomp_init(s->has_devices ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM)), 0 };

	if (!f.ctx)
		return err_set(err, ERR_NOMEM, "out of memory");
	f.ret = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	fill(&f, s);
	if (!f.ret)
		f.ret = seccomp_load(f.ctx);
	seccomp_release(f.ctx);
	if (!f.ret)
		return 0;
	return err_set(err, ERR_UNSUPPORTED, "this kernel or container does not let a process restrict its system calls (seccomp: %s)",
		       strerror(-f.ret));
}

const char *sandbox_call_name(int number)
{
	static char text[40];
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

	strncpy(text, name ? name : "a call", sizeof text - 1);
	free(name);
	return text;
}
