/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/video_encoder_choice.h"

#include "common/key.h"
#include "common/log.h"
#include "common/proc.h"
#include "common/timeline.h"
#include "worker/bits.h"
#include "worker/nal_internal.h"
#include "worker/video_encoder_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libavutil/log.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIALS_MS 6000       /* all trials of a choice: a worker that says nothing for 10 s is taken for lost */
#define KILL_MS 500          /* how long a killed trial is waited for: one that sits in a driver may not even die */
#define WAIT_MS 5
#define TRIAL_FRAMES 8
#define LIMIT_SAID 65536     /* bytes of what a trial says */
#define WHAT_MAX 256
#define REASON_MAX 200
#define ANSWERS 32
#define STATUS_UNKNOWN 2     /* exit statuses of a trial; 1: any other failure */

/* ---- what is tried, as one word on a command line */

static void put_what(char what[WHAT_MAX], const char *name, const struct record_encode *p, const struct video_options *o)
{
	snprintf(what, WHAT_MAX, "%s:%d:%d:%d:%d:%" PRId64 ":%" PRId64 ":%d:%d:%d:%d:%d:%d:%d", name, p->width, p->height,
		 p->sar_num, p->sar_den, p->rate_num, p->rate_den, p->primaries, p->transfer, p->matrix, p->is_full_range,
		 o->crf_milli, o->preset,
		 o->max_kbits);
}

static bool get_what(const char *what, struct record_encode *p, struct video_options *o)
{
	size_t n = strcspn(what, ":");
	int is_full_range;

	if (!n || n >= sizeof p->encoder)
		return false;
	memcpy(p->encoder, what, n);
	if (sscanf(what + n, ":%d:%d:%d:%d:%" SCNd64 ":%" SCNd64 ":%d:%d:%d:%d:%d:%d:%d", &p->width, &p->height, &p->sar_num,
		   &p->sar_den,
		   &p->rate_num, &p->rate_den, &p->primaries, &p->transfer, &p->matrix, &is_full_range, &o->crf_milli, &o->preset,
		   &o->max_kbits) != 13)
		return false;
	p->is_full_range = is_full_range;
	return p->width >= 2 && p->height >= 2 && p->width <= VIDEO_SIDE_MAX && p->height <= VIDEO_SIDE_MAX && p->rate_num > 0 &&
	       p->rate_den > 0 && o->preset >= 0 && o->preset < VIDEO_PRESETS;
}

/* ---- the process of a trial */

static char last_line[REASON_MAX]; /* that libavcodec logged as an error: it says more than its codes */

__attribute__((format(printf, 3, 0))) static void keep_line(void *of, int level, const char *format, va_list args)
{
	(void)of;
	if (level > AV_LOG_ERROR)
		return;
	vsnprintf(last_line, sizeof last_line, format, args);
	last_line[strcspn(last_line, "\n")] = '\0';
}

/* A picture that changes. */
static AVFrame *make_frame(const struct record_encode *p, int n)
{
	AVFrame *f = av_frame_alloc();

	if (!f)
		return NULL;
	f->format = AV_PIX_FMT_YUV420P;
	f->width = p->width;
	f->height = p->height;
	f->pts = timeline_scale_round(n, TICKS_PER_SECOND * p->rate_den, p->rate_num);
	if (av_frame_get_buffer(f, 0) < 0)
		av_frame_free(&f);
	for (int i = 0; f && i < 3; i++) {
		int width = i ? p->width / 2 : p->width, height = i ? p->height / 2 : p->height;

		for (int y = 0; y < height; y++)
			memset(f->data[i] + (ptrdiff_t)y * f->linesize[i], i ? 128 : 16 + (y + 8 * n) % 200, (size_t)width);
	}
	return f;
}

static int pass_over(void *arg, int64_t pts, bool is_sync, struct bytes data, struct err *err)
{
	(void)arg, (void)pts, (void)is_sync, (void)data, (void)err;
	return 0;
}

/* With an IDR picture in the middle; that all frames come out, and as they shall, is looked at on the way. */
static int encode_some(const struct record_encode *p, const struct video_options *o, struct buf *sets, struct err *err)
{
	struct video_encoder *e;
	int ret = video_encoder_create_strict(&e, p, o, pass_over, NULL, err);

	if (ret)
		return ret;
	for (int i = 0; i < TRIAL_FRAMES && !ret; i++) {
		AVFrame *f = make_frame(p, i);

		ret = f ? video_encoder_push(e, f, i % (TRIAL_FRAMES / 2) == 0, err) : err_set(err, ERR_NOMEM, "out of memory");
		av_frame_free(&f);
	}
	if (!ret)
		ret = video_encoder_finish(e, err);
	if (!ret)
		ret = video_encoder_put_sets(e, sets, err);
	video_encoder_destroy(e);
	return ret;
}

int video_encoder_trial_main(const char *what)
{
	struct record_encode p = { 0 };
	struct video_options o = { 0 };
	struct buf said = { 0 };
	struct err err = { 0 };
	int ret;

	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	av_log_set_callback(keep_line);
	ret = get_what(what, &p, &o) ? encode_some(&p, &o, &said, &err) : err_set(&err, ERR_DATA, "this is no trial: %.100s", what);
	if (ret) {
		buf_reset(&said);
		buf_printf(&said, last_line[0] ? "%s (%s)" : "%s", err.msg, last_line);
	}
	if (write(STDOUT_FILENO, said.data, said.size) != (ssize_t)said.size)
		ret = ERR_RETRY;
	buf_finish(&said);
	return ret == ERR_USAGE ? STATUS_UNKNOWN : ret ? 1 : 0;
}

/* ---- its parent */

struct answer {
	char what[WHAT_MAX]; /* "": none yet */
	bool is_for_all;     /* it crashed or hung: whatever the title, it is not tried again */
	int code;            /* 0: it works */
	char reason[REASON_MAX];
	struct buf sets;
};

static struct answer answers[ANSWERS];
static int n_answers;

static struct answer *find_answer(const char *what)
{
	size_t n = strcspn(what, ":") + 1;

	for (int i = 0; i < ANSWERS; i++)
		if (!strcmp(answers[i].what, what) || (answers[i].is_for_all && !strncmp(answers[i].what, what, n)))
			return &answers[i];
	return NULL;
}

/* Everything that it says until it ends, or the time is over. */
static void hear(int fd, int64_t until_ms, struct buf *said)
{
	uint8_t part[4096];

	for (int64_t left; (left = until_ms - proc_now_ms()) > 0 && said->size < LIMIT_SAID;) {
		ssize_t n;

		if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, (int)left) <= 0)
			continue;
		n = read(fd, part, sizeof part);
		if (n > 0)
			buf_put(said, part, (size_t)n);
		else if (n == 0 || errno != EINTR)
			return;
	}
}

static bool has_ended(pid_t pid, int64_t until_ms, int *status)
{
	pid_t got;

	while (!(got = waitpid(pid, status, WNOHANG)) || (got < 0 && errno == EINTR)) {
		if (proc_now_ms() >= until_ms)
			return false;
		poll(NULL, 0, WAIT_MS);
	}
	return got == pid;
}

static int start(pid_t *pid, int *fd, const char *what, struct err *err)
{
	char program[PATH_MAX];
	char *argv[] = { program, (char *)(uintptr_t)VIDEO_ENCODER_TRIAL, (char *)(uintptr_t)what, NULL };
	int ends[2], null, ret;

	proc_sibling("segfarm-worker", program, sizeof program);
	if (pipe2(ends, O_CLOEXEC))
		return err_set(err, ERR_RETRY, "no pipe: %s", strerror(errno));
	null = open("/dev/null", O_WRONLY | O_CLOEXEC); /* drivers chat */
	ret = proc_spawn(pid, argv, ends[1], null, 0, err);
	close(ends[1]);
	if (null >= 0)
		close(null);
	if (ret)
		close(ends[0]);
	*fd = ends[0];
	return ret;
}

/* One line, fit for a log. */
static void set_reason(struct answer *a, const char *text)
{
	snprintf(a->reason, sizeof a->reason, "%s", text);
	for (char *c = a->reason; *c; c++)
		if ((unsigned char)*c < ' ' || *c == '"' || *c == '\\' || *c == 0x7f)
			*c = '\'';
}

static void run_trial(struct answer *a, int64_t until_ms)
{
	struct err err = { 0 };
	char text[64];
	pid_t pid;
	int fd = -1, status = 0;

	a->code = ERR_UNSUPPORTED;
	if (start(&pid, &fd, a->what, &err)) {
		set_reason(a, err.msg);
		return;
	}
	hear(fd, until_ms, &a->sets);
	close(fd);
	if (!has_ended(pid, until_ms, &status)) {
		a->is_for_all = true;
		set_reason(a, "it hangs");
		kill(pid, SIGKILL);
		has_ended(pid, proc_now_ms() + KILL_MS, &status);
	} else if (WIFSIGNALED(status)) {
		a->is_for_all = true;
		snprintf(text, sizeof text, "it crashes: signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
		set_reason(a, text);
	} else if (WEXITSTATUS(status) || buf_failed(&a->sets)) {
		a->code = WEXITSTATUS(status) == STATUS_UNKNOWN ? ERR_USAGE : ERR_UNSUPPORTED;
		set_reason(a, buf_failed(&a->sets) || !a->sets.size ? "it says nothing" : buf_cstr(&a->sets));
	} else {
		a->code = 0;
	}
}

/* ---- trials from within a sandbox: somebody outside makes them, one at a time */

static enum { TRIALS_HERE, TRIALS_APART, TRIALS_NEVER } trials;
static int outside = -1; /* the other end of his socket */

struct wish {
	char what[WHAT_MAX];
	int64_t until_ms;
};

struct reply {
	bool is_for_all;
	int code;
	char reason[REASON_MAX];
	size_t n_sets;
	uint8_t sets[LIMIT_SAID];
};

/* His process: he has nothing open but the socket, instead of stdin, and stderr. */
static void serve_trials(int fd)
{
	static struct reply reply;
	struct wish wish;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (dup2(fd, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || close_range(STDERR_FILENO + 1, ~0u, 0))
		_exit(1);
	for (fd = STDIN_FILENO; recv(fd, &wish, sizeof wish, 0) == sizeof wish;) {
		struct answer a = { .code = ERR_UNSUPPORTED };

		wish.what[sizeof wish.what - 1] = 0;
		if (wish.until_ms > proc_now_ms() + TRIALS_MS)
			wish.until_ms = proc_now_ms() + TRIALS_MS;
		memcpy(a.what, wish.what, sizeof a.what);
		run_trial(&a, wish.until_ms);
		reply.is_for_all = a.is_for_all;
		reply.code = a.code;
		memcpy(reply.reason, a.reason, sizeof reply.reason);
		reply.n_sets = a.sets.size < LIMIT_SAID ? a.sets.size : 0;
		if (reply.n_sets)
			memcpy(reply.sets, a.sets.data, reply.n_sets);
		buf_finish(&a.sets);
		if (send(fd, &reply, offsetof(struct reply, sets) + reply.n_sets, MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

static void ask_outside(struct answer *a, int64_t until_ms)
{
	static struct reply reply;
	struct wish wish = { .until_ms = until_ms };
	struct pollfd fd = { .fd = outside, .events = POLLIN };
	ssize_t n;

	memcpy(wish.what, a->what, sizeof wish.what);
	a->code = ERR_UNSUPPORTED;
	set_reason(a, "nobody tries it");
	if (send(outside, &wish, sizeof wish, MSG_NOSIGNAL) < 0 || poll(&fd, 1, TRIALS_MS + 2 * KILL_MS) <= 0)
		return;
	n = recv(outside, &reply, sizeof reply, 0);
	if (n < (ssize_t)offsetof(struct reply, sets) || (size_t)n != offsetof(struct reply, sets) + reply.n_sets)
		return;
	a->is_for_all = reply.is_for_all;
	a->code = reply.code;
	set_reason(a, reply.reason);
	buf_put(&a->sets, reply.sets, reply.n_sets);
}

int video_encoder_try_apart(struct err *err)
{
	pid_t parent = getpid(), pid;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return err_set(err, ERR_RETRY, "no socket: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		prctl(PR_SET_NAME, "segfarm-trial");
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
			_exit(1);
		serve_trials(ends[1]);
	}
	close(ends[1]);
	outside = ends[0];
	trials = TRIALS_APART;
	return pid < 0 ? err_set(err, ERR_RETRY, "cannot start another process: %s", strerror(errno)) : 0;
}

void video_encoder_try_never(void)
{
	trials = TRIALS_NEVER;
}

/* The answer of a name, which lives until the next call; *is_new: it was not known before. */
static const struct answer *ask(const char *name, const struct record_encode *p, const struct video_options *o, int64_t until_ms,
				bool *is_new)
{
	static bool has_told;
	static const struct answer late = { .code = ERR_UNSUPPORTED, .reason = "no time is left to try it" };
	char what[WHAT_MAX];
	static const struct answer never = { .code = ERR_UNSUPPORTED,
					     .reason = "this worker may use no hardware (segfarm-worker --hardware lets it)" };
	struct answer *a;

	if (trials == TRIALS_NEVER) {
		if (!has_told)
			*is_new = has_told = true;
		return &never;
	}
	put_what(what, name, p, o);
	a = find_answer(what);
	if (a || until_ms <= proc_now_ms())
		return a ? a : &late;
	*is_new = true;
	a = &answers[n_answers++ % ANSWERS];
	buf_finish(&a->sets);
	*a = (struct answer){ .code = ERR_UNSUPPORTED };
	memcpy(a->what, what, sizeof what);
	if (trials == TRIALS_APART)
		ask_outside(a, until_ms);
	else
		run_trial(a, until_ms);
	return a;
}

/* ---- parameter sets */

/* Largest id of any; -1: one is broken. */
static int largest_id(struct bytes sets)
{
	struct nal_walk w = { sets, 0, 0 };
	struct bytes nal;
	int most = 0;

	while (nal_walk_next(&w, &nal) == 1) {
		size_t head = nal_type(NAL_H264, nal) == H264_SPS ? 4 : 1;
		struct bits b = { nal.data + head, nal.size > head ? nal.size - head : 0, 0, false };
		uint32_t id = bits_ue(&b);

		if (b.is_over || id > RECORD_SET_ID_MAX)
			return -1;
		most = (int)id > most ? (int)id : most;
	}
	return most;
}

/* Whether it makes what the init segment will say. */
static int use(struct record_encode *p, const char *name, struct bytes sets, struct err *err)
{
	struct nal_config c;
	int id = largest_id(sets), ret = nal_config_init(&c, NAL_H264, sets, (struct bytes){ NULL, 0 }, err);

	if (ret)
		return ret;
	if (c.sps.width != p->width || c.sps.height != p->height || c.sps.chroma_format != 1 || c.sps.bit_depth != 8)
		ret = err_set(err, ERR_UNSUPPORTED, "its pictures are of another size or format");
	else if (id < 0 || id >= RECORD_SET_ID_MAX)
		ret = err_set(err, ERR_UNSUPPORTED, "its parameter sets leave no id to libx264's");
	nal_config_finish(&c);
	if (ret)
		return ret;
	snprintf(p->encoder, sizeof p->encoder, "%s", name);
	key_hash(sets, p->sets);
	p->software_id = id + 1;
	return 0;
}

/* ---- public */

int video_encoder_choose_among(const char *const *names, int n, struct record_encode *p, const struct video_options *o,
			       struct buf *sets, struct err *err)
{
	int64_t until_ms = proc_now_ms() + TRIALS_MS;
	char tried[3 * REASON_MAX] = "";
	bool is_new = false;

	for (int i = 0; i < n; i++) {
		const struct answer *a = ask(names[i], p, o, until_ms, &is_new);
		const char *reason = a->reason;

		if (!a->code && !use(p, names[i], buf_bytes(&a->sets), err)) {
			buf_put(sets, a->sets.data, a->sets.size);
			if (is_new)
				log_warn("video is encoded by hardware", "encoder=%s", p->encoder);
			return buf_failed(sets) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
		}
		if (!a->code)
			reason = err->msg;
		snprintf(tried + strlen(tried), sizeof tried - strlen(tried), "%s%s: %s", i ? "; " : "", names[i], reason);
	}
	snprintf(p->encoder, sizeof p->encoder, "%s", RECORD_SOFTWARE);
	if (is_new)
		log_warn("no hardware encoder works here, video is encoded by libx264", "encoder=%s reason=\"%s\"", p->encoder,
			 tried);
	return 0;
}

int video_encoder_choose(struct record_encode *p, const struct video_options *o, struct buf *sets, struct err *err)
{
	static const char *const hardware[] = { "h264_nvenc", "h264_qsv", "h264_vaapi" };
	const struct answer *a;
	struct err why = { 0 };
	bool is_new = false;
	int ret;

	p->sets[0] = '\0';
	p->software_id = 0;
	if (!strcmp(o->encoder, RECORD_AUTO))
		return video_encoder_choose_among(hardware, sizeof hardware / sizeof *hardware, p, o, sets, err);
	snprintf(p->encoder, sizeof p->encoder, "%s", RECORD_SOFTWARE);
	if (!strcmp(o->encoder, RECORD_SOFTWARE))
		return 0;
	a = ask(o->encoder, p, o, proc_now_ms() + TRIALS_MS, &is_new);
	ret = a->code ? err_set(&why, a->code, "%s", a->reason) : use(p, o->encoder, buf_bytes(&a->sets), &why);
	if (ret == ERR_USAGE)
		return err_set(err, ret, "%s", why.msg);
	if (ret)
		return err_set(err, ret, "the encoder %s does not work here: %.250s; --encoder auto takes one that does, "
					 "libx264 always "
			       "does", o->encoder, why.msg);
	buf_put(sets, a->sets.data, a->sets.size);
	return buf_failed(sets) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}
