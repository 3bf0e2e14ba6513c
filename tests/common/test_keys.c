/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/buf.h"
#include "common/keys.h"
#include "common/proc.h"
#include "tests/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[96], public_path[100];
static struct keys_pair made;
static struct err err;

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/segfarm-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/some.key", dir);
	snprintf(public_path, sizeof(public_path), "%s.pub", path);
	ck_assert_msg(!keys_make(path, &made, &err), "%s", err.msg);
}

static void teardown(void)
{
	proc_remove_tree(dir);
}

static void write_file(const char *to, const char *text, size_t size)
{
	FILE *f = fopen(to, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, size, f), size);
	ck_assert_int_eq(fclose(f), 0);
}

/* PUBLIC and SECRET stand for the keys, SHORT for a secret one without its end. */
static void write_keys(const char *to, const char *text)
{
	static const char *const words[] = { "PUBLIC", "SECRET", "SHORT" };
	const char *const keys[] = { made.public_key, made.secret_key, made.secret_key };
	struct buf out = { 0 };

	while (*text) {
		size_t i = 0;

		while (i < 3 && strncmp(text, words[i], strlen(words[i])))
			i++;
		if (i == 3) {
			buf_put(&out, text++, 1);
			continue;
		}
		buf_put(&out, keys[i], strlen(keys[i]) - (i == 2));
		text += strlen(words[i]);
	}
	write_file(to, out.data ? (const char *)out.data : "", out.size);
	buf_finish(&out);
}

START_TEST(pair_is_read_as_it_was_made_and_only_its_owner_can)
{
	struct keys_pair pair;
	struct stat st;
	char key[KEYS_SIZE];

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_msg(!keys_read_pair(path, &pair, &err), "%s", err.msg);
	ck_assert_str_eq(pair.public_key, made.public_key);
	ck_assert_str_eq(pair.secret_key, made.secret_key);
	ck_assert_msg(!keys_read_public(public_path, key, &err), "%s", err.msg);
	ck_assert_str_eq(key, made.public_key);
	ck_assert_str_ne(made.public_key, made.secret_key);
}
END_TEST

START_TEST(two_pairs_differ)
{
	struct keys_pair other;
	char other_path[96];

	snprintf(other_path, sizeof(other_path), "%s/other.key", dir);
	ck_assert_int_eq(keys_make(other_path, &other, &err), 0);
	ck_assert_str_ne(other.public_key, made.public_key);
	ck_assert_str_ne(other.secret_key, made.secret_key);
}
END_TEST

/* 0: both files are there, 1: the pair is, 2: the public one is. */
START_TEST(keys_that_are_there_are_never_overwritten)
{
	struct keys_pair other, pair;
	char key[KEYS_SIZE];

	if (_i == 1)
		unlink(public_path);
	if (_i == 2)
		unlink(path);
	ck_assert_int_eq(keys_make(path, &other, &err), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, "there already"), "%s", err.msg);
	ck_assert_int_eq(access(path, F_OK), _i == 2 ? -1 : 0);
	ck_assert_int_eq(access(public_path, F_OK), _i == 1 ? -1 : 0);
	if (_i != 2) {
		ck_assert_int_eq(keys_read_pair(path, &pair, &err), 0);
		ck_assert_str_eq(pair.secret_key, made.secret_key);
	}
	if (_i != 1) {
		ck_assert_int_eq(keys_read_public(public_path, key, &err), 0);
		ck_assert_str_eq(key, made.public_key);
	}
}
END_TEST

START_TEST(secret_key_that_others_can_read_is_refused)
{
	struct keys_pair pair;

	ck_assert_int_eq(chmod(path, _i ? 0604 : 0640), 0);
	ck_assert_int_eq(keys_read_pair(path, &pair, &err), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, "chmod 600"), "%s", err.msg);
}
END_TEST

#define ZERO "0000000000000000000000000000000000000000"
static const char *const bad_pairs[] = {
	"",
	"public-key PUBLIC\n",
	"secret-key SECRET\n",
	"public-key SECRET\nsecret-key PUBLIC\n",
	"public-key PUBLIC\nsecret-key PUBLIC\n",
	"public-key " ZERO "\nsecret-key SECRET\n",
	"public-key PUBLIC\nsecret-key SECRET\nsecret-key SECRET\n",
	"public-key PUBLIC\nsecret-key SECRET\nanother-key SECRET\n",
	"public-key PUBLIC\nsecret-key SHORT\n",
	"public-key PUBLIC\nsecret-key SECRET0\n",
	"public-key\nsecret-key\n",
	"PUBLIC\nSECRET\n",
};

START_TEST(file_that_is_no_pair_is_refused)
{
	struct keys_pair pair;

	write_keys(path, bad_pairs[_i]);
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert_int_eq(keys_read_pair(path, &pair, &err), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, "not a key pair"), "%s", err.msg);
}
END_TEST

START_TEST(odd_files_are_refused)
{
	static char huge[KEYS_FILE_MAX + 1];
	struct keys_pair pair;
	struct keys_list list;

	memset(huge, '\n', sizeof(huge));
	ck_assert_int_eq(keys_read_pair(dir, &pair, &err), ERR_USAGE);
	ck_assert_int_eq(keys_read_pair("/nowhere/at/all", &pair, &err), ERR_USAGE);
	ck_assert_int_eq(keys_read_pair("/dev/zero", &pair, &err), ERR_USAGE);
	write_file(public_path, huge, sizeof(huge));
	ck_assert_int_eq(keys_list_open(&list, public_path, &err), ERR_USAGE);
	write_file(public_path, huge, sizeof(huge) - 1);
	ck_assert_int_eq(keys_list_open(&list, public_path, &err), 0);
	keys_list_finish(&list);
	write_file(public_path, "\n\0\n", 3);
	ck_assert_int_eq(keys_list_open(&list, public_path, &err), ERR_USAGE);
}
END_TEST

START_TEST(list_takes_remarks_and_says_which_line_is_wrong)
{
	struct keys_list list;

	write_keys(public_path, "# those of today\n\nPUBLIC of the first host\n  \tSECRET\r\n\n#\n");
	ck_assert_msg(!keys_list_open(&list, public_path, &err), "%s", err.msg);
	ck_assert_uint_eq(list.n, 2);
	ck_assert(keys_list_has(&list, made.public_key));
	ck_assert(keys_list_has(&list, made.secret_key));
	ck_assert(!keys_list_has(&list, ZERO));
	ck_assert(!keys_list_has(&list, ""));
	keys_list_finish(&list);
	write_keys(public_path, "PUBLIC\n\nnot a key\n");
	ck_assert_int_eq(keys_list_open(&list, public_path, &err), ERR_USAGE);
	ck_assert_msg(strstr(err.msg, "line 3 "), "%s", err.msg);
	/* characters that Z85 has not, and values over 32 bits */
	write_keys(public_path, "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n");
	ck_assert_int_eq(keys_list_open(&list, public_path, &err), ERR_USAGE);
	write_keys(public_path, "########################################\n");
	ck_assert_int_eq(keys_list_open(&list, public_path, &err), ERR_USAGE);
}
END_TEST

START_TEST(list_follows_its_file_and_keeps_what_it_had_when_that_is_broken)
{
	struct keys_list list;

	write_keys(public_path, "");
	ck_assert_int_eq(keys_list_open(&list, public_path, &err), 0);
	ck_assert(!keys_list_has(&list, made.public_key));
	ck_assert_int_eq(keys_list_refresh(&list, &err), 0);
	write_keys(public_path, "PUBLIC\n");
	ck_assert_int_eq(keys_list_refresh(&list, &err), 1);
	ck_assert_int_eq(keys_list_refresh(&list, &err), 0);
	ck_assert(keys_list_has(&list, made.public_key));
	write_keys(public_path, "PUBLIC\nwhat\n");
	ck_assert_int_eq(keys_list_refresh(&list, &err), ERR_USAGE);
	ck_assert_int_eq(keys_list_refresh(&list, &err), 0); /* told once */
	ck_assert(keys_list_has(&list, made.public_key));
	unlink(public_path);
	ck_assert_int_eq(keys_list_refresh(&list, &err), ERR_USAGE);
	ck_assert_int_eq(keys_list_refresh(&list, &err), 0);
	ck_assert(keys_list_has(&list, made.public_key));
	write_keys(public_path, "# nobody\n");
	ck_assert_int_eq(keys_list_refresh(&list, &err), 1);
	ck_assert(!keys_list_has(&list, made.public_key));
	keys_list_finish(&list);
}
END_TEST

START_TEST(public_file_for_one_key_holds_one)
{
	char key[KEYS_SIZE];

	write_keys(public_path, "PUBLIC\nSECRET\n");
	ck_assert_int_eq(keys_read_public(public_path, key, &err), ERR_USAGE);
	write_keys(public_path, "\n");
	ck_assert_int_eq(keys_read_public(public_path, key, &err), ERR_USAGE);
	ck_assert_int_eq(keys_read_public(path, key, &err), ERR_USAGE); /* the secret one by mistake */
}
END_TEST

START_TEST(one_key_without_the_other_sides_is_refused)
{
	struct keys_access access = { 0 };

	ck_assert_int_eq(keys_access_open(&access, NULL, NULL, true, &err), 0);
	ck_assert(!access.has_keys);
	for (int is_dispatcher = 0; is_dispatcher < 2; is_dispatcher++) {
		ck_assert_int_eq(keys_access_open(&access, path, NULL, is_dispatcher, &err), ERR_USAGE);
		ck_assert_int_eq(keys_access_open(&access, NULL, public_path, is_dispatcher, &err), ERR_USAGE);
		ck_assert(!access.has_keys);
		ck_assert_msg(!keys_access_open(&access, path, public_path, is_dispatcher, &err), "%s", err.msg);
		ck_assert(access.has_keys);
		keys_access_finish(&access);
	}
}
END_TEST

Suite *suite_keys(void)
{
	Suite *s = suite_create("common/keys");
	TCase *t = tcase_create("keys");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, pair_is_read_as_it_was_made_and_only_its_owner_can);
	tcase_add_test(t, two_pairs_differ);
	tcase_add_loop_test(t, keys_that_are_there_are_never_overwritten, 0, 3);
	tcase_add_loop_test(t, secret_key_that_others_can_read_is_refused, 0, 2);
	tcase_add_loop_test(t, file_that_is_no_pair_is_refused, 0, sizeof(bad_pairs) / sizeof(*bad_pairs));
	tcase_add_test(t, odd_files_are_refused);
	tcase_add_test(t, list_takes_remarks_and_says_which_line_is_wrong);
	tcase_add_test(t, list_follows_its_file_and_keeps_what_it_had_when_that_is_broken);
	tcase_add_test(t, public_file_for_one_key_holds_one);
	tcase_add_test(t, one_key_without_the_other_sides_is_refused);
	suite_add_tcase(s, t);
	return s;
}
