/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What somebody at a terminal is told when something is wrong: one sentence that names the thing, and a status. And
 * what `make install` and deploy/run do.
 */
#include "tests/e2e/bg.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/redis_fixture.h"
#include "tests/suites.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TITLE                                                                                                       \
	"ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=160:90\" -f lavfi -i \"$A\" -t 8 -c:v libx264 -preset " \
	"ultrafast "                                                                                                \
	"-g 48 -c:a ac3 \"$OUT\""

/* In commands: $F a good title, $D a directory (also the working directory) with the files below, $R the URL of a
 * Redis, $USED a port that somebody listens on and never answers at, $S options of serve by which it meets nobody else.
 */
static const struct wrong {
	const char *command;
	const char *named; /* must stand in the sentence */
	int status;
} wrongs[] = {
	{ "segfarm nonsense", "'nonsense'", 2 },
	{ "segfarm --nonsense", "'--nonsense'", 2 },
	{ "segfarm run --nonsense", "'--nonsense'", 2 },
	{ "segfarm run", "FILE", 2 },
	{ "segfarm run missing.mkv", "missing.mkv", 2 },
	{ "segfarm run ''", "", 2 },
	{ "segfarm run directory", "directory is a directory", 2 },
	{ "segfarm run empty.mkv", "empty.mkv is empty", 2 },
	{ "segfarm run fifo", "fifo is not a regular file", 2 },
	{ "segfarm run /dev/zero", "/dev/zero", 2 },
	{ "segfarm run dangling.mkv", "dangling.mkv", 2 },
	{ "segfarm run text.mkv --once", "text.mkv", 1 },
	{ "segfarm run text.mkv -o out", "text.mkv", 1 },
	{ "segfarm run zeros.mkv --once", "zeros.mkv", 1 },
	{ "segfarm run header.mkv --once", "header.mkv", 1 },
	{ "segfarm run \"$F\" another.mkv", "one FILE", 2 },
	{ "segfarm run \"$F\" -j 0", "-j: '0'", 2 },
	{ "segfarm run \"$F\" -j many", "-j: 'many'", 2 },
	{ "segfarm run \"$F\" -j", "'j'", 2 },
	{ "segfarm run \"$F\" -o", "'o'", 2 },
	{ "segfarm run \"$F\" --segment-duration 0", "segment duration", 2 },
	{ "segfarm run \"$F\" --segment-duration=-6", "'-6'", 2 },
	{ "segfarm run \"$F\" --segment-duration 601", "601", 2 },
	{ "segfarm run \"$F\" --segment-duration six", "'six'", 2 },
	{ "segfarm run \"$F\" --segment-duration nan", "'nan'", 2 },
	{ "segfarm run \"$F\" --segment-duration 1e2", "'1e2'", 2 },
	{ "segfarm run \"$F\" --segment-duration ''", "segment duration", 2 },
	{ "segfarm run \"$F\" --audio-quality 99", "99", 2 },
	{ "segfarm run \"$F\" --audio-bitrate 0", "--audio-bitrate: '0'", 2 },
	{ "segfarm run \"$F\" --audio-channels 3", "audio channels", 2 },
	{ "segfarm run \"$F\" --audio ac3", "--audio is 'copy' or 'aac'", 2 },
	{ "segfarm run \"$F\" --audio-track 0", "--audio-track: '0'", 2 },
	{ "segfarm run \"$F\" --audio-track 'ger man'", "'ger man'", 2 },
	{ "segfarm run \"$F\" --audio-track abcdefghijklmnopqrstuvwxyz-abcdefghij", "abcdefghij'", 2 },
	{ "segfarm run \"$F\" --video-track de", "--video-track: 'de'", 2 },
	{ "segfarm run \"$F\" --video-track 99", "no such video track", 1 },
	{ "segfarm run \"$F\" --listen nonsense", "'nonsense'", 2 },
	{ "segfarm run \"$F\" --listen 127.0.0.1:65536", "'127.0.0.1:65536'", 2 },
	{ "segfarm run \"$F\" --listen localhost:0", "'localhost'", 2 },
	{ "segfarm run \"$F\" --listen 192.0.2.1:0", "192.0.2.1", 2 },
	{ "segfarm run \"$F\" --listen 127.0.0.1:$USED", "the port is in use", 2 },
	{ "segfarm run \"$F\" -o text.mkv", "text.mkv", 2 },
	{ "segfarm run \"$F\" -o text.mkv/out", "text.mkv/out", 2 },
	{ "segfarm run \"$F\" -o missing/out", "missing/out", 2 },
	{ "segfarm run \"$F\" -o /proc/out", "/proc/out", 2 },
	{ "segfarm run \"$F\" -o in-the-way", "in-the-way", 2 },
	{ "TMPDIR=$D/missing segfarm run \"$F\" --once", "missing", 2 },
	{ "TMPDIR=/$(head -c 200 /dev/zero | tr '\\0' x) segfarm run \"$F\" --once", "TMPDIR is too long", 2 },
	{ "PATH=$D/alone segfarm run \"$F\" --once", "redis-server", 2 },
	{ "PATH=${PATH#*:} alone/segfarm run \"$F\" --once", "segfarm-worker", 2 },
	{ "segfarm serve --nonsense", "'--nonsense'", 2 },
	{ "segfarm serve --redis nonsense", "nonsense", 2 },
	{ "segfarm serve --redis rediss://127.0.0.1", "TLS", 2 },
	{ "segfarm serve --redis redis://127.0.0.1:99999", "127.0.0.1:99999", 2 },
	{ "segfarm serve --redis redis://127.0.0.1:1 $S", "redis://127.0.0.1:1", 1 },
	{ "segfarm serve --redis unix://$D/missing.sock $S", "missing.sock", 1 },
	{ "segfarm serve --redis redis://127.0.0.1:$USED $S", "does not answer", 1 },
	{ "segfarm serve --redis $R --bind nonsense --listen 127.0.0.1:0", "nonsense", 2 },
	{ "segfarm serve --redis $R --bind ipc://$D/missing/bus.sock --listen 127.0.0.1:0", "missing/bus.sock", 2 },
	{ "segfarm serve --redis $R --bind tcp://127.0.0.1:$USED --listen 127.0.0.1:0", "tcp://127.0.0.1:", 2 },
	{ "segfarm serve --redis $R --bind tcp://127.0.0.1:$USED --insecure --listen 127.0.0.1:0", "Address already in use", 2 },
	{ "segfarm serve --redis $R --bind tcp://0.0.0.0:5555 --listen 127.0.0.1:0", "segfarm keygen", 2 },
	{ "segfarm serve --redis $R $S --keys $D/text.mkv", "--allow-workers", 2 },
	{ "segfarm serve --redis $R $S --keys $D/missing --allow-workers $D/text.mkv", "missing", 2 },
	{ "segfarm serve --redis $R $S --max-connections 0", "--max-connections", 2 },
	{ "segfarm serve --redis $R --bind ipc://$D/bus.sock --listen 127.0.0.1:$USED", "the port is in use", 2 },
	{ "segfarm keygen", "segfarm keygen FILE", 2 },
	{ "segfarm keygen a b", "one FILE", 2 },
	{ "segfarm keygen $D/text.mkv && true", "text.mkv is there already", 2 },
	{ "segfarm keygen $D/missing/key", "missing/key", 2 },
	{ "segfarm serve --redis $R $S missing.mkv", "missing.mkv", 2 },
	{ "segfarm serve --redis $R $S empty.mkv", "empty.mkv", 2 },
	{ "segfarm-worker", "--connect", 2 },
	{ "segfarm-worker --nonsense", "'--nonsense'", 2 },
	{ "segfarm-worker --connect ipc://$D/bus.sock", "--redis", 2 },
	{ "segfarm-worker --redis $R", "--connect", 2 },
	{ "segfarm-worker --connect ipc://$D/bus.sock --redis $R extra", "'extra'", 2 },
	{ "segfarm-worker --connect ipc://$D/bus.sock --redis $R -j 0", "-j", 2 },
	{ "segfarm-worker --connect nonsense --redis $R", "nonsense", 1 },
	{ "segfarm-worker --connect tcp://127.0.0.1:1 --redis $R", "segfarm keygen", 1 },
	{ "segfarm-worker --connect tcp://127.0.0.1:1 --redis $R --keys $D/text.mkv", "--dispatcher-key", 1 },
	{ "segfarm-worker --connect tcp://127.0.0.1:1 --redis $R --keys $D/empty.mkv --dispatcher-key $D/text.mkv", "empty.mkv", 1 },
	{ "segfarm-worker --connect ipc://$D/bus.sock --redis nonsense", "nonsense", 1 },
	{ "segfarm-worker --connect ipc://$D/bus.sock --redis redis://127.0.0.1:1", "redis://127.0.0.1:1", 1 },
	{ "segfarm-worker --connect ipc://$D/bus.sock --redis redis://127.0.0.1:$USED", "does not answer", 1 },
};

#define FILES                                                                                                         \
	"mkdir directory alone && cp \"$BUILD/segfarm\" alone && : > empty.mkv && mkfifo fifo && ln -s missing "      \
	"dangling.mkv && "                                                                                            \
	"echo 'This is a text.' > text.mkv && head -c 5000 /dev/zero > zeros.mkv && head -c 40 '%s' > header.mkv && " \
	"mkdir in-the-way && : > in-the-way/main"

static const char *title;
static char *files; /* made once: no command may change it */
static struct redis_fixture redis;
static int used_port;

/* Takes connections into its backlog, and that is all. */
static int listen_and_be_silent(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	return ntohs(at.sin_port);
}

static void set_up(void)
{
	title = media_make("errors.mkv", TITLE);
	ck_assert_int_ge(asprintf(&files, "%s/files", sh_scratch()), 0);
	free(sh("mkdir '%s' && cd '%s' && " FILES, files, files, title));
	redis_fixture_start(&redis);
	used_port = listen_and_be_silent();
}

static void tear_down(void)
{
	redis_fixture_stop(&redis);
}

/* Without lines of progress, and without argp's hint. */
static char *sentences(const char *log)
{
	return sh("cat <<'END_OF_LOG' | grep -v -e '^looking at the file$' -e '^[0-9]*/[0-9]* segments' -e '^Try `' "
		  "-e '^information.$' || true\n%s\nEND_OF_LOG\n",
		  log);
}

static void check_sentence(const char *command, const char *log, const char *named)
{
	char *said = sentences(log);
	size_t size = strcspn(said, "\n");

	ck_assert_msg(strstr(said, named), "%s does not name '%s':\n%s", command, named, log);
	ck_assert_msg(size > 10 && !strcmp(said + size, "\n\n"), "%s says not one line:\n%s", command, log);
	ck_assert_msg(strstr(said, "segfarm"), "%s does not say who speaks:\n%s", command, log);
	free(said);
}

static const char *list_files(void)
{
	return "find . | LC_ALL=C sort";
}

static void set_variables(const struct bg *b, const char *command)
{
	char used[16], serve[128];

	snprintf(used, sizeof used, "%d", used_port);
	snprintf(serve, sizeof serve, "--bind ipc://%s/bus.sock --listen 127.0.0.1:0", b->tmp);
	setenv("F", title, 1);
	setenv("D", files, 1);
	setenv("R", redis.url, 1);
	setenv("USED", used, 1);
	setenv("S", serve, 1);
	setenv("COMMAND", command, 1);
}

START_TEST(each_mistake_gets_one_sentence_that_names_it_and_leaves_nothing)
{
	const struct wrong *w = &wrongs[_i];
	char *before = sh("cd '%s' && %s", files, list_files()), *after, *log;
	struct bg b;
	int status;

	bg_open(&b);
	set_variables(&b, w->command);
	bg_start(&b, "sh -c 'cd \"$D\" && PATH=$BUILD:$PATH && eval \"$COMMAND\"'");
	status = bg_wait(&b);
	log = bg_log(&b);
	ck_assert_msg(status == w->status, "%s: status %d, not %d:\n%s", w->command, status, w->status, log);
	check_sentence(w->command, log, w->named);
	bg_check_clean(&b);
	after = sh("cd '%s' && %s", files, list_files());
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	free(log);
	bg_close(&b);
}
END_TEST

START_TEST(unreadable_file_is_named)
{
	char *file, *log;
	bool is_root = geteuid() == 0;
	const char *as = is_root ? "setpriv --reuid=65534 --regid=65534 --clear-groups" : "";

	ck_assert_int_ge(asprintf(&file, "%s/closed.mkv", sh_scratch()), 0);
	free(sh("chmod 755 '%s' && cp '%s' '%s' && chmod 000 '%s'", sh_scratch(), title, file, file));
	if (is_root && sh_status(NULL, "%s sh -c 'ls -l \"%s\" && \"$SEGFARM\" --version'", as, file)) {
		fprintf(stderr, "skipped: unreadable_file_is_named (nobody else may enter the build directory)\n");
		return;
	}
	ck_assert_int_eq(sh_status(&log, "%s \"$SEGFARM\" run '%s' --once", as, file), 2);
	check_sentence("run", log, "closed.mkv");
	free(log);
	free(file);
}
END_TEST

/* Writing fails when half is done: the file-size limit stands in for a full disk. */
START_TEST(disk_that_fills_up_ends_the_run_with_one_sentence)
{
	struct bg b;
	char *log;

	bg_open(&b);
	bg_start(&b, "sh -c 'trap \"\" XFSZ; ulimit -f 100; exec \"$SEGFARM\" run \"%s\" -o %s/out -j 2'", title,
		 b.dir);
	ck_assert_int_ne(bg_wait(&b), 0);
	log = bg_log(&b);
	check_sentence("run", log, "File too large");
	free(sh("! find %s/out -name '*.tmp' | grep . && ! test -e %s/out/master.m3u8", b.dir, b.dir));
	bg_check_clean(&b);
	free(log);
	bg_close(&b);
}
END_TEST

START_TEST(directory_made_for_nothing_is_removed_and_an_old_one_stays)
{
	ck_assert_int_eq(sh_status(NULL, "cd '%s' && \"$SEGFARM\" run '%s/text.mkv' -o new", sh_scratch(), files), 1);
	free(sh("test ! -e '%s/new'", sh_scratch()));
	ck_assert_int_eq(
		sh_status(NULL, "cd '%s' && mkdir old && \"$SEGFARM\" run '%s/text.mkv' -o old", sh_scratch(), files),
		1);
	free(sh("test -d '%s/old' && test -z \"$(ls -A '%s/old')\"", sh_scratch(), sh_scratch()));
}
END_TEST

START_TEST(name_of_a_file_may_be_anything)
{
	static const char *const names[] = { "a film.mkv",
					     "-dash.mkv",
					     "new\nline.mkv",
					     "percent %s %n.mkv",
					     "q\"u'o$te.mkv",
					     "na\xc3\xafve <b>&.mkv",
					     "not utf-8 \xff\xfe.mkv",
					     "no-suffix" };
	char dir[PATH_MAX];

	snprintf(dir, sizeof dir, "%s/names", sh_scratch());
	free(sh("mkdir '%s'", dir));
	ck_assert_int_eq(chdir(dir), 0);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		setenv("NAME", names[i], 1);
		free(sh("ln '%s' \"./$NAME\" 2>/dev/null || cp '%s' \"./$NAME\"; \"$SEGFARM\" run -o \"out of $NAME\" "
			"-j 2 -- \"$NAME\" "
			"&& test -s \"out of $NAME/master.m3u8\"",
			title, title));
	}
	free(sh("ls -d out* | grep -c out | grep -qx 8 && test \"$(cat out*/main/*.m4s | sha256sum)\" = "
		"\"$(for i in 1 2 3 4 5 6 7 8; do cat 'out of a film.mkv'/main/*.m4s; done | sha256sum)\""));
}
END_TEST

START_TEST(help_and_version_are_no_mistake)
{
	static const char *const programs[] = { "\"$SEGFARM\"", "\"$SEGFARM\" run", "\"$SEGFARM\" serve",
						"\"$WORKER\"" };

	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
		char *help = sh("%s --help 2>/dev/null", programs[i]),
		     *version = sh("%s --version 2>/dev/null", programs[i]);

		ck_assert_msg(!strncmp(help, "Usage: segfarm", 14), "%s --help: %s", programs[i], help);
		ck_assert_msg(bg_count(help, "\n") > 8 && strstr(help, "--help"), "%s --help: %s", programs[i], help);
		ck_assert_msg(!strncmp(version, "segfarm", 7) && bg_count(version, "\n") == 1, "%s: %s", programs[i],
			      version);
		free(help);
		free(version);
	}
}
END_TEST

/* --- installing, and what `make run` calls; the tests run in the directory of the Makefile */

#define MAKE "env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -o all BUILD=\"$BUILD\" PREFIX=/usr DESTDIR=\"$D\" "

START_TEST(install_puts_two_programs_and_their_manual_and_uninstall_takes_them)
{
	const char *dir = sh_scratch();
	char *got;

	free(sh("D='%s/root'; " MAKE "install", dir));
	got = sh("cd '%s/root' && find . ! -type d ! -name hls.min.js -printf '%%p %%m\\n' | LC_ALL=C sort", dir);
	ck_assert_str_eq(got, "./usr/bin/segfarm 755\n./usr/bin/segfarm-worker 755\n"
			      "./usr/share/bash-completion/completions/segfarm 644\n"
			      "./usr/share/bash-completion/completions/segfarm-worker 644\n"
			      "./usr/share/fish/vendor_completions.d/segfarm-worker.fish 644\n"
			      "./usr/share/fish/vendor_completions.d/segfarm.fish 644\n"
			      "./usr/share/man/man1/segfarm-worker.1 644\n"
			      "./usr/share/man/man1/segfarm.1 644\n"
			      "./usr/share/man/man5/segfarm.conf.5 644\n"
			      "./usr/share/zsh/site-functions/_segfarm 644\n"
			      "./usr/share/zsh/site-functions/_segfarm-worker 644\n");
	free(got);
	free(sh("cd / && '%s/root/usr/bin/segfarm' run '%s' -j 2 --once", dir, title));
	free(sh("cd / && PATH=\"%s/root/usr/bin:$PATH\" segfarm run '%s' -j 2 --once", dir, title));
	free(sh("D='%s/root'; " MAKE "uninstall", dir));
	got = sh("cd '%s/root' && find . ! -type d", dir);
	ck_assert_str_eq(got, "");
	free(got);
}
END_TEST

START_TEST(make_run_works_from_anywhere_with_any_name)
{
	char here[PATH_MAX];
	char *got;

	ck_assert_ptr_nonnull(getcwd(here, sizeof here));
	got = sh("cd '%s' && cp '%s' 'my film.mkv' && ONCE=1 OUT='my out' MEDIA='my film.mkv' '%s/deploy/run' && ls -d "
		 "'my out'/* "
		 "'my out/main/init.mp4'",
		 sh_scratch(), title, here);
	ck_assert_msg(strstr(got, "my out/master.m3u8\n") && strstr(got, "my out/main/init.mp4\n"), "%s", got);
	free(got);
}
END_TEST

Suite *suite_errors(void)
{
	Suite *s = suite_create("errors");
	TCase *t = tcase_create("errors");

	tcase_set_timeout(t, 180);
	tcase_add_unchecked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, each_mistake_gets_one_sentence_that_names_it_and_leaves_nothing, 0,
			    sizeof wrongs / sizeof *wrongs);
	tcase_add_test(t, unreadable_file_is_named);
	tcase_add_test(t, disk_that_fills_up_ends_the_run_with_one_sentence);
	tcase_add_test(t, directory_made_for_nothing_is_removed_and_an_old_one_stays);
	tcase_add_test(t, name_of_a_file_may_be_anything);
	tcase_add_test(t, help_and_version_are_no_mistake);
	tcase_add_test(t, install_puts_two_programs_and_their_manual_and_uninstall_takes_them);
	tcase_add_test(t, make_run_works_from_anywhere_with_any_name);
	suite_add_tcase(s, t);
	return s;
}
