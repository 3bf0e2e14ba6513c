/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/media.h"

#include "tests/e2e/sh.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PICTURE "testsrc2=size=640x360:rate=24"
/* Left, right: gliding tones over noise; centre: a voice-like buzz that comes and goes, with a click each second; LFE;
 * surrounds: noise bursts. No commas: they would need escaping. */
#define SOUND                                                                                                                  \
	"aevalsrc=s=48000:c=5.1:exprs="                                                                                        \
	"0.2*sin(2*PI*(220+40*sin(0.7*t))*t)+0.1*random(0)-0.05|"                                                              \
	"0.2*sin(2*PI*(331+70*sin(0.9*t))*t)+0.05*(random(0)-random(0))|"                                                      \
	"0.2*sin(2*PI*150*t+6*sin(2*PI*3*t))*(0.5+0.5*sin(2*PI*0.4*t))+0.6*exp(-300*(t-floor(t)))*(random(0)-0.5)|"            \
	"0.2*sin(2*PI*(45+5*sin(t))*t)|"                                                                                       \
	"0.3*exp(-6*(0.7*t-floor(0.7*t)))*(random(0)-random(0))|"                                                              \
	"0.3*exp(-7*(0.9*t-floor(0.9*t)))*(random(0)-random(0)+random(0)-0.5)"

static const char *media_dir(void)
{
	static char dir[PATH_MAX];

	if (dir[0])
		return dir;
	snprintf(dir, sizeof dir, "%s/media", sh_build());
	ck_assert_msg(!mkdir(dir, 0777) || errno == EEXIST, "%s: %s", dir, strerror(errno));
	setenv("M", dir, 1);
	setenv("V", PICTURE, 1);
	setenv("A", SOUND, 1);
	return dir;
}

/* $V and $A belong to the recipe: when they change, so do the files. */
static char *recipe_of(const char *command)
{
	char *recipe;

	ck_assert_int_ge(asprintf(&recipe, "V=%s\nA=%s\n%s\n", PICTURE, SOUND, command), 0);
	return recipe;
}

static bool is_made(const char *path, const char *recipe_path, const char *recipe)
{
	size_t size = strlen(recipe), n;
	char *text;
	FILE *f;
	bool is_same;

	if (access(path, R_OK) || !(f = fopen(recipe_path, "r")))
		return false;
	text = malloc(size + 1);
	ck_assert_ptr_nonnull(text);
	n = fread(text, 1, size + 1, f);
	fclose(f);
	is_same = n == size && !memcmp(text, recipe, size);
	free(text);
	return is_same;
}

/* The file comes before its recipe: whoever is killed between the two leaves a file that is made again. */
static void make_file(const char *name, const char *path, const char *recipe_path, const char *recipe, const char *command)
{
	char *part;
	FILE *f;

	ck_assert_int_ge(asprintf(&part, "%s/part.%s", media_dir(), name), 0);
	unlink(recipe_path);
	unlink(part);
	setenv("OUT", part, 1);
	free(sh("%s", command));
	ck_assert_msg(!rename(part, path), "the recipe of %s did not write $OUT: %s", name, command);
	free(part);
	f = fopen(recipe_path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(recipe, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* Paths live for ever, and stay reachable for the leak checker. */
static char *keep(char *path)
{
	static char **kept;
	static size_t n;

	kept = realloc(kept, (n + 1) * sizeof *kept);
	ck_assert_ptr_nonnull(kept);
	return kept[n++] = path;
}

const char *media_make(const char *name, const char *command)
{
	char *path, *lock_path, *recipe_path, *recipe = recipe_of(command);
	int lock;

	ck_assert_int_ge(asprintf(&path, "%s/%s", media_dir(), name), 0);
	ck_assert_int_ge(asprintf(&recipe_path, "%s.cmd", path), 0);
	ck_assert_int_ge(asprintf(&lock_path, "%s.lock", path), 0);
	lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	ck_assert_msg(lock >= 0, "%s: %s", lock_path, strerror(errno));
	while (flock(lock, LOCK_EX))
		ck_assert_int_eq(errno, EINTR);
	if (!is_made(path, recipe_path, recipe))
		make_file(name, path, recipe_path, recipe, command);
	close(lock);
	free(lock_path);
	free(recipe_path);
	free(recipe);
	return keep(path);
}

const char *media_twenty_segments(void)
{
	return media_make("twenty_segments.mkv",
			  "ffmpeg -nostdin -v error -y -f lavfi -i \"$V,scale=320:180,noise=alls=40:allf=t\" -f lavfi -i \"$A\" -t 120 "
			  "-c:v libx264 -preset ultrafast -b:v 600k -bf 2 -g 48 -c:a ac3 \"$OUT\"");
}

const char *media_real_dir(void)
{
	static char dir[PATH_MAX];
	const char *given = getenv("SEGFARM_MEDIA");
	struct stat st;

	if (!realpath(given && *given ? given : "../shared/media", dir) || stat(dir, &st) || !S_ISDIR(st.st_mode))
		return NULL;
	return dir;
}
