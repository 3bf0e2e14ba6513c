/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/transcode_main.h"

#include "common/options.h"
#include "common/timeline.h"
#include "worker/fault.h"
#include "worker/parts.h"
#include "worker/sandbox.h"
#include "worker/transcode.h"
#include "worker/video_encoder_choice.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define STUCK_ALARMS 20 /* of ALARM_MS: how long a reader that does not read holds up the end after a signal */
#define ALARM_MS 100

#define LIMIT_TIMEOUT_S 86400

struct options {
	struct transcode_request request;
	const char *in;
	int timeout_s;  /* of a source from which nothing comes; 0: that of a URL, and none for a pipe */
	bool is_playlist_allowed, has_no_sandbox;
	const char *servers;  /* that one may name besides its own; NULL: none */
};

struct run {
	struct input input;
	void *map;      /* of a regular file; NULL: none */
	size_t map_size;
	const char *in; /* its name */
	int pipe;       /* the descriptor of any other */
	int timeout_s;  /* 0: none */
	bool is_reader_gone;
	struct parts parts; /* of a playlist */
};

static const char name[] = "segfarm-worker transcode";

/* ---- signals: the handler of a stop interrupts whatever waits, again and again, until it has been seen */

static volatile sig_atomic_t stop_signal, alarms;

static void on_stop(int signal)
{
	struct itimerval t = { { 0, ALARM_MS * 1000 }, { 0, ALARM_MS * 1000 } };

	stop_signal = signal;
	setitimer(ITIMER_REAL, &t, NULL);
}

static void on_alarm(int signal)
{
	(void)signal;
	alarms = alarms + 1;
}

static void catch_signals(void)
{
	struct sigaction stop = { .sa_handler = on_stop }, alarm = { .sa_handler = on_alarm };

	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGHUP, &stop, NULL);
	sigaction(SIGALRM, &alarm, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int tick(void *arg, struct err *err)
{
	(void)arg;
	return stop_signal ? err_set(err, ERR_STOPPED, "stopped by a signal") : 0;
}

static int is_stopped(void *arg)
{
	(void)arg;
	return stop_signal != 0;
}

/* ---- in */

/* Waits first: whoever gave it to us may have made it non-blocking, and a FIFO is opened so. */
static int64_t read_pipe(void *arg, uint8_t *to, size_t n, struct err *err)
{
	struct run *r = arg;
	ssize_t got;
	int ready;

	while (!stop_signal) { /* looked at each time: damage without an end is read without a tick */
		ready = poll(&(struct pollfd){ .fd = r->pipe, .events = POLLIN }, 1, r->timeout_s ? r->timeout_s * 1000 : -1);
		if (!ready)
			return err_set(err, ERR_RETRY, "nothing came from the source for %d s", r->timeout_s);
		got = ready > 0 ? read(r->pipe, to, n) : -1;
		if (got >= 0)
			return got;
		if (errno != EINTR && errno != EAGAIN)
			return err_set(err, ERR_RETRY, "cannot read %.300s: %s", r->in, strerror(errno));
	}
	return tick(NULL, err);
}

static void close_pipe(void *arg)
{
	close(((struct run *)arg)->pipe);
}

static int open_fd(struct run *r, int fd, struct err *err)
{
	struct input_source source = { read_pipe, NULL, close_pipe, r };
	const char *path = r->in;
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, ERR_USAGE, "%.300s cannot be read: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return err_set(err, ERR_USAGE, "%.300s is a directory, not a media file", path);
	if (!S_ISREG(st.st_mode)) {
		r->pipe = fd;
		input_init_source(&r->input, &source, INT64_MAX);
		return 0;
	}
	if (!st.st_size)
		return err_set(err, ERR_USAGE, "%.300s is empty", path);
	r->map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (r->map == MAP_FAILED) {
		r->map = NULL;
		return err_set(err, ERR_RETRY, "%.300s cannot be mapped: %s", path, strerror(errno));
	}
	r->map_size = (size_t)st.st_size;
	input_init_bytes(&r->input, (struct bytes){ r->map, r->map_size });
	fault_watch(&r->input, path);
	return 0;
}

static int open_input(struct run *r, const struct options *o, struct err *err)
{
	const char *in = o->in;
	int fd;

	r->in = strcmp(in, "-") ? in : "standard input";
	r->timeout_s = o->timeout_s;
	if (record_is_url(in))
		return input_open_url(&r->input, in, o->timeout_s ? o->timeout_s : INPUT_URL_TIMEOUT_S, NULL, is_stopped, NULL,
				      err);
	if (!strcmp(in, "-") && isatty(STDIN_FILENO))
		return err_set(err, ERR_USAGE, "which IN? (try --help)");
	if (!strcmp(in, "-"))
		return open_fd(r, STDIN_FILENO, err);
	fd = open(in, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a FIFO's other end is waited for in reading */
	if (fd < 0)
		return err_set(err, ERR_USAGE, "%.300s: %s", in, errno == ENOENT ? "there is no such file" : strerror(errno));
	return open_fd(r, fd, err);
}

/* Whether it is a playlist is not known yet. */
static int allow_playlist(struct run *r, const struct options *o, struct err *err)
{
	int ret;

	if (!o->is_playlist_allowed || !strcmp(o->in, "-") || (!r->map && !record_is_url(o->in)))
		return 0;
	r->parts = (struct parts){ .servers = o->servers, .is_stopped = is_stopped,
				   .timeout_s = o->timeout_s ? o->timeout_s : INPUT_URL_TIMEOUT_S };
	ret = r->map ? parts_init_file(&r->parts, r->in, err) : parts_init_url(&r->parts, input_url_location(&r->input), err);
	r->input.parts = &r->parts;
	return ret;
}

/* ---- the sandbox: what is open stays open, what a playlist names may be opened as well */

static int allow_directory(const char *path, struct allow *allow, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX] = ".";

	if (slash)
		snprintf(dir, sizeof dir, "%.*s", (int)(slash - path + 1), path);
	return allow_add_root(allow, dir, err);
}

static int shut_in(const struct run *r, const struct options *o, struct err *err)
{
	struct allow allow = { 0 };
	struct sandbox sandbox = { .allow = &allow, .has_inet = record_is_url(o->in),
				   .has_devices = strcmp(o->request.options.video_encoder, RECORD_SOFTWARE) != 0 };
	int ret = 0;

	if (o->has_no_sandbox)
		return 0;
	if (r->map && r->input.parts)
		ret = allow_directory(o->in, &allow, err);
	if (!ret && sandbox.has_devices)
		ret = video_encoder_try_apart(err);
	if (!ret && sandbox_enter(&sandbox, err))
		ret = err_set(err, ERR_USAGE, "%.300s; --no-sandbox goes on without one", err->msg);
	allow_finish(&allow);
	return ret;
}

/* ---- out */

static int write_error(struct run *r, struct err *err)
{
	int code = errno;

	if (code == EAGAIN)
		poll(&(struct pollfd){ .fd = STDOUT_FILENO, .events = POLLOUT }, 1, -1);
	if (code == EINTR || code == EAGAIN)
		return alarms >= STUCK_ALARMS ? err_set(err, ERR_RETRY, "stopped in the middle of a fragment: nobody reads") : 0;
	if (code == EFAULT) /* no SIGBUS for the kernel's own reading; the message stands ready */
		return err_set(err, ERR_DATA, "%s", r->input.err.msg);
	if (code != EPIPE)
		return err_set(err, ERR_RETRY, "cannot write: %s", strerror(code));
	r->is_reader_gone = true;
	return err_set(err, ERR_STOPPED, "the reader is gone");
}

/* A fragment that was begun is finished, also after a signal. */
static int put(void *arg, struct iovec *iov, int n, struct err *err)
{
	struct run *r = arg;
	int ret = r->map ? input_status(&r->input, err) : 0;

	while (n && !ret) {
		ssize_t done = writev(STDOUT_FILENO, iov, n < IOV_MAX ? n : IOV_MAX);

		if (done < 0)
			ret = write_error(r, err);
		for (; done > 0 && (size_t)done >= iov->iov_len; n--)
			done -= (ssize_t)iov++->iov_len;
		if (done > 0) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	/* what was read counts as ours until it is given back */
	if (r->map)
		madvise(r->map, r->map_size, MADV_DONTNEED);
	return ret;
}

/* ---- options */

enum { OPT_START = 0x1000, OPT_MAX_DURATION, OPT_SOURCE_TIMEOUT, OPT_PLAYLISTS, OPT_NO_SANDBOX };

static const struct argp_option option_list[] = {
	{ "start", OPT_START, "SECONDS", 0,
	  "Where to start: both tracks begin at the last key frame at or before it, and keep the times that they have in the "
	  "title. A pipe, or a server without ranges, cannot go back: there it is the first key frame at or behind it",
	  1 },
	{ "max-duration", OPT_MAX_DURATION, "SECONDS", 0, "How much to make; both tracks end together", 1 },
	{ "source-timeout", OPT_SOURCE_TIMEOUT, "SECONDS", 0,
	  "How long nothing may come from a URL or a pipe before it ends with what was made, and status 1 (default: 30 for a "
	  "URL, for ever for a pipe)",
	  1 },
	{ "allow-playlists", OPT_PLAYLISTS, "SERVERS", OPTION_ARG_OPTIONAL,
	  "Take HLS playlists: one from a server may name URLs of that server (and of SERVERS: https://HOST[:PORT],...), one "
	  "that is a file may name files beneath its directory",
	  1 },
	{ "no-sandbox", OPT_NO_SANDBOX, NULL, 0, "Do without the sandbox in which the source is read", 1 },
	{ 0 },
};

static int64_t parse_seconds(const char *what, const char *arg, struct argp_state *state)
{
	struct err err = { 0 };
	int64_t ns = 0;
	int ret = cli_parse_decimal(arg, 9, &ns, &err);

	if (ret < 0)
		err_prefix(&err, "%s", what);
	options_check(ret, &err, state);
	return timeline_ns_to_ticks(ns);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	struct err err = { 0 };

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->request.options;
		break;
	case OPT_START:
		o->request.start_ticks = parse_seconds("--start", arg, state);
		break;
	case OPT_MAX_DURATION:
		o->request.max_ticks = parse_seconds("--max-duration", arg, state);
		if (!o->request.max_ticks)
			options_check(err_set(&err, ERR_USAGE, "--max-duration: nothing would be made"), &err, state);
		break;
	case OPT_SOURCE_TIMEOUT:
		o->timeout_s = options_parse_int("--source-timeout", arg, 1, LIMIT_TIMEOUT_S, state);
		break;
	case OPT_PLAYLISTS:
		o->is_playlist_allowed = true;
		o->servers = arg;
		if (arg && !parts_are_servers(arg))
			options_check(err_set(&err, ERR_USAGE, "--allow-playlists takes https://HOST[:PORT],..., not '%.300s'",
					      arg),
				      &err, state);
		break;
	case OPT_NO_SANDBOX:
		o->has_no_sandbox = true;
		break;
	case ARGP_KEY_ARG:
		if (o->in)
			options_check(err_set(&err, ERR_USAGE, "one IN at a time, please"), &err, state);
		o->in = arg;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_child children[] = { { &options_stream, 0, "What is made:", 10 }, { 0 } };
const struct argp transcode_argp = {
	.options = option_list,
	.parser = parse,
	.args_doc = "[IN] > OUT",
	.doc = "Writes a title as one fragmented MP4 to standard output: the init segment, then a fragment for about every two "
	       "seconds as soon as it is complete. Video is copied, audio is copied or encoded to AAC. IN is a media file, a "
	       "URL (http:// or https://), or a pipe; - or nothing is standard input."
	       "\vMemory stays the same however long the input is.\n\n"
	       "  segfarm-worker transcode film.mkv > film.mp4\n"
	       "  segfarm-worker transcode --start 600 film.mkv | mpv -\n"
	       "  recorder | segfarm-worker transcode - | nc -l 9000\n\n"
	       "A reader that goes away ends it; one that stalls makes it wait. The last line on standard error says what was "
	       "made. Exit status: 0 done, or the reader has gone away; 1 it could not be made to the end (the reason is "
	       "printed, and what was written plays up to there); 2 wrong use; 128 + N ended by signal N, with what was complete.",
	.children = children,
};

/* ---- */

static void print_summary(const struct run *r, const struct transcode_stats *s)
{
	fprintf(stderr, "%s: %lld video frames, %lld audio frames, %lld fragments, %lld bytes%s\n", name,
		(long long)s->video_frames,
		(long long)s->audio_frames, (long long)s->fragments, (long long)s->bytes,
		r->is_reader_gone ? "; the reader has gone away" : stop_signal ? "; ended by a signal" : "");
	if (s->broken_video || s->broken_audio || s->damaged_bytes)
		fprintf(stderr, "%s: left out: %lld broken video frames, %lld broken audio packets, %lld damaged bytes\n", name,
			(long long)s->broken_video, (long long)s->broken_audio, (long long)s->damaged_bytes);
}

static int transcode(struct run *r, const struct options *o, struct err *err)
{
	struct transcode_out out = { put, tick, r };
	struct transcode_stats stats = { 0 };
	struct demux *demux;
	bool is_url = record_is_url(o->in);
	int ret = is_url ? shut_in(r, o, err) : 0; /* before a byte of a server comes */

	if (!ret)
		ret = open_input(r, o, err);
	if (!ret)
		ret = allow_playlist(r, o, err);
	if (!ret && !is_url)
		ret = shut_in(r, o, err);
	if (ret)
		return ret;
	r->input.is_stopped = is_stopped;
	r->input.is_forward = !o->request.start_ticks;
	ret = demux_open(&demux, &r->input, err);
	if (ret)
		return err_prefix(err, "%.300s", r->in);
	ret = transcode_run(demux, &o->request, &out, &stats, err);
	if (ret && ret != ERR_USAGE && !stats.bytes && !r->input.status)
		err_prefix(err, "%.300s", r->in);
	if (stats.bytes || r->is_reader_gone || ret == ERR_STOPPED)
		print_summary(r, &stats);
	demux_close(demux);
	return ret;
}

int transcode_main(int argc, char **argv)
{
	struct options o = { .request.max_ticks = INT64_MAX };
	struct run r = { 0 };
	struct err err = { 0 };
	int ret;

	record_options_init(&o.request.options);
	options_parse(&transcode_argp, name, argc, argv, &o);
	if (!o.in)
		o.in = "-";
	if (isatty(STDOUT_FILENO))
		ret = err_set(&err, ERR_USAGE, "will not write a film to a terminal: redirect standard output (try --help)");
	else
		ret = 0;
	catch_signals();
	if (!ret)
		ret = transcode(&r, &o, &err);
	parts_finish(&r.parts);
	input_close(&r.input);
	fault_watch(NULL, NULL);
	if (r.map)
		munmap(r.map, r.map_size);
	if (!ret || r.is_reader_gone)
		return 0;
	if (ret == ERR_STOPPED)
		return 128 + stop_signal;
	fprintf(stderr, "%s: %s\n", name, err.msg);
	return ret == ERR_USAGE ? OPTIONS_EXIT_USAGE : 1;
}
