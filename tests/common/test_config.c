/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/config.h"
#include "common/options.h"
#include "dispatcher/commands.h"
#include "tests/suites.h"
#include "worker/pool_options.h"
#include "worker/transcode_main.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char file[] = "/tmp/segfarm-config.XXXXXX";

static void set_up(void)
{
	int fd;

	memcpy(file + sizeof(file) - 7, "XXXXXX", 6);
	fd = mkstemp(file);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void tear_down(void)
{
	unlink(file);
}

static void write_file(const char *text)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* A command with one option of each kind. */
static const struct argp_option options[] = {
	{ "name", 'n', "TEXT", 0, "A text", 0 },
	{ "root", 0x100, "DIR", CONFIG_MANY, "Several", 0 },
	{ "flag", 0x101, NULL, 0, "A flag", 0 },
	{ "maybe", 0x102, "TEXT", OPTION_ARG_OPTIONAL, "With or without", 0 },
	{ "secret-hook", 0x103, "TEXT", OPTION_HIDDEN, NULL, 0 },
	{ 0 },
};
static const struct argp_child children[] = { { &options_program, 0, NULL, 0 }, { 0 } };
static const struct argp command = { .options = options, .children = children };

/* The options that come out in front of the command line, with a space before each. words: as they are typed, with spaces between. */
static int expand(const char *words, const char *variables, char text[1000], struct err *err)
{
	char copy[1000], *argv[20] = { (char *)(uintptr_t)"command" }, *environment[20] = { NULL }, *at = copy, others[1000], *word;
	int argc = 1, n = 0, ret;
	struct config c;

	snprintf(copy, sizeof(copy), "%s", words);
	while ((word = strsep(&at, " ")))
		if (*word)
			argv[argc++] = word;
	snprintf(others, sizeof(others), "%s", variables);
	at = others;
	while ((word = strsep(&at, " ")))
		if (*word)
			environment[n++] = word;
	*text = '\0';
	ret = config_expand(&c, &command, "serve", argc, argv, environment, err);
	if (ret)
		return ret;
	for (int i = 1; i <= c.n_before; i++)
		snprintf(text + strlen(text), 1000 - strlen(text), " %s", c.argv[i]);
	for (int i = 1; i <= argc; i++) /* what was given stays, and the NULL behind it */
		ck_assert_ptr_eq(c.argv[c.n_before + i], i < argc ? argv[i] : NULL);
	ck_assert_int_eq(c.argc, argc + c.n_before);
	config_finish(&c);
	return 0;
}

static void expect(const char *words, const char *variables, const char *options_in_front)
{
	struct err err = { 0 };
	char text[1000], given[1000];

	snprintf(given, sizeof(given), "--config %s %s", file, words);
	ck_assert_msg(expand(given, variables, text, &err) == 0, "%s", err.msg);
	ck_assert_str_eq(text, options_in_front);
}

START_TEST(test_what_is_given_in_front_replaces_what_is_behind)
{
	write_file("[serve]\nname = of the file\nroot = /a\nroot = /b\n");
	expect("", "", " --name=of the file --root=/a --root=/b");
	expect("", "SEGFARM_NAME=variable", " --root=/a --root=/b --name=variable");
	expect("-n line", "SEGFARM_NAME=variable", " --root=/a --root=/b");
	expect("", "SEGFARM_ROOT=/c,/d", " --name=of the file --root=/c --root=/d");
	expect("--root=/e", "SEGFARM_ROOT=/c,/d", " --name=of the file");
	expect("FILE --name line -- --root=x", "", " --root=/a --root=/b");
	expect("--alone", "SEGFARM_NAME=variable", "");
	expect("", "SEGFARM_NAME=", " --name=of the file --root=/a --root=/b");
}
END_TEST

START_TEST(test_options_without_an_argument_take_yes_and_no)
{
	write_file("[serve]\nflag = Yes\nmaybe = yes\n");
	expect("", "", " --flag --maybe");
	expect("", "SEGFARM_FLAG=no", " --maybe");
	expect("", "SEGFARM_FLAG=1 SEGFARM_MAYBE=text", " --flag --maybe=text");
	write_file("[serve]\nflag = off\nmaybe = 0\n");
	expect("", "", "");
	expect("", "SEGFARM_FLAG=on", " --flag");
}
END_TEST

START_TEST(test_lines_of_a_file_are_read_as_its_manual_says)
{
	write_file("# a remark\n\n ; another\n[worker]\nwhatever = 1\n[serve]\r\n  name =  a = b # c  \r\nroot = \"  x \"\nroot=\"\"y\"\"");
	expect("", "", " --name=a = b # c --root=  x  --root=\"y\"");
	write_file("");
	expect("", "", "");
}
END_TEST

START_TEST(test_what_is_wrong_is_told_with_its_line)
{
	static const struct {
		const char *text, *message;
	} wrong[] = {
		{ "[serve]\n\nnmae = x\n", ":3: [serve] has no option 'nmae'; did you mean 'name'?" },
		{ "[serve]\nquite-another = x\n", ":2: [serve] has no option 'quite-another'" },
		{ "[serve]\nsecret-hok = x\n", ":2: [serve] has no option 'secret-hok'" },
		{ "[serve]\nconfig = x\n", ":2: [serve] has no option 'config'" },
		{ "name = x\n", ":1: a section comes first: [serve] or [worker]" },
		{ "[server]\n", ":1: there is no section [server], only [serve] and [worker]" },
		{ "[serve\n", ":1: a section looks like this: [serve]" },
		{ "[serve]\nname x\n", ":2: a line looks like this: option = value" },
		{ "[serve]\n= x\n", ":2: a line looks like this: option = value" },
		{ "[serve]\nname =\n", ":2: 'name' has no value" },
		{ "[serve]\nname = x\nflag=1\nname = x\n", ":4: 'name' stands in line 2 already" },
		{ "[serve]\nname = \"x\n", ":2: a value that begins with a quote has to end with one" },
		{ "[serve]\nflag = perhaps\n", ":2: flag takes yes or no, not 'perhaps'" },
		{ "[serve]\nflag =\n", ":2: flag takes yes or no, not ''" },
	};
	char words[100], text[1000], expected[500];
	struct err err;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		write_file(wrong[i].text);
		snprintf(words, sizeof(words), "--config=%s", file);
		snprintf(expected, sizeof(expected), "%s%s", file, wrong[i].message);
		ck_assert_int_eq(expand(words, "", text, &err), ERR_USAGE);
		ck_assert_str_eq(err.msg, expected);
	}
	ck_assert_int_eq(expand("", "SEGFARM_FLAG=perhaps", text, &err), ERR_USAGE);
	ck_assert_str_eq(err.msg, "SEGFARM_FLAG: flag takes yes or no, not 'perhaps'");
	ck_assert_int_eq(expand("--config /no/such/file", "", text, &err), ERR_USAGE);
	ck_assert_str_eq(err.msg, "cannot read /no/such/file: No such file or directory");
	ck_assert_int_eq(expand("", "SEGFARM_CONFIG=/", text, &err), ERR_USAGE);
	ck_assert_str_eq(err.msg, "cannot read /: Is a directory");
}
END_TEST

START_TEST(test_files_are_bounded)
{
	char text[1000], words[100];
	struct err err;
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	fputs("[serve]\n", f);
	for (size_t i = 0; i < CONFIG_OPTIONS_MAX + 1; i++)
		fprintf(f, "root = %zu\n", i);
	fclose(f);
	snprintf(words, sizeof(words), "--config=%s", file);
	ck_assert_int_eq(expand(words, "", text, &err), ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(err.msg, ":4098: too many options"));
	ck_assert_int_eq(truncate(file, CONFIG_FILE_MAX + 1), 0);
	ck_assert_int_eq(expand(words, "", text, &err), ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(err.msg, "is no configuration file"));
}
END_TEST

/* --- of the programs */

struct every {
	const struct argp *argp;
	const char *section; /* NULL: the command takes no file */
	int n;
};

/* It comes out as it was given, and nothing else. */
static void expect_option(const struct every *e, char **environment, const char *line, const struct argp_option *o, const char *expected)
{
	char *argv[] = { (char *)(uintptr_t)"command", (char *)(uintptr_t)"--config", file, NULL };
	bool is_file = line != NULL;
	struct config c;
	struct err err = { 0 };

	if (is_file)
		write_file(line);
	ck_assert_msg(config_expand(&c, e->argp, e->section ? e->section : "none", is_file ? 3 : 1, argv, environment, &err) == 0,
		      "--%s: %s", o->name, err.msg);
	ck_assert_msg(c.n_before == 1, "--%s: %d options", o->name, c.n_before);
	ck_assert_str_eq(c.argv[1], expected);
	config_finish(&c);
}

static int try_option(void *arg, const struct argp_option *o)
{
	struct every *e = arg;
	char variable[CONFIG_NAME_MAX], given[200], line[200], expected[200], *environment[] = { given, NULL };
	const char *value = o->arg ? "some value" : "yes";

	if (o->key == CONFIG_KEY_FILE || o->key == CONFIG_KEY_ALONE)
		return 0;
	config_variable(o->name, variable);
	snprintf(given, sizeof(given), "%s=%s", variable, value);
	snprintf(line, sizeof(line), "[%s]\n%s = %s\n", e->section ? e->section : "", o->name, value);
	snprintf(expected, sizeof(expected), o->arg ? "--%s=%s" : "--%s", o->name, value);
	expect_option(e, environment, NULL, o, expected);
	if (e->section)
		expect_option(e, (char *[]){ NULL }, line, o, expected);
	ck_assert_msg(strcmp(variable, "SEGFARM_FAULT") && strcmp(variable, "SEGFARM_ENCODER_FAULT"), "%s is a hook of tests", variable);
	e->n++;
	return 0;
}

START_TEST(test_every_option_of_every_command_is_a_variable_and_a_line)
{
	struct every serve = { &serve_argp, "serve", 0 }, pool = { &pool_argp, "worker", 0 }, transcode = { &transcode_argp, NULL, 0 };

	for (const struct manual_command *c = commands_manual.commands; c->name; c++) {
		struct every e = { c->argp, NULL, 0 };

		config_walk(c->argp, try_option, &e);
	}
	config_walk(serve.argp, try_option, &serve);
	config_walk(pool.argp, try_option, &pool);
	config_walk(transcode.argp, try_option, &transcode);
	ck_assert_int_gt(serve.n, 25); /* its children's too */
	ck_assert_int_gt(pool.n, 15);
	ck_assert_int_gt(transcode.n, 10);
}
END_TEST

Suite *suite_config(void)
{
	Suite *s = suite_create("config");
	TCase *tc = tcase_create("config");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, test_what_is_given_in_front_replaces_what_is_behind);
	tcase_add_test(tc, test_options_without_an_argument_take_yes_and_no);
	tcase_add_test(tc, test_lines_of_a_file_are_read_as_its_manual_says);
	tcase_add_test(tc, test_what_is_wrong_is_told_with_its_line);
	tcase_add_test(tc, test_files_are_bounded);
	tcase_add_test(tc, test_every_option_of_every_command_is_a_variable_and_a_line);
	suite_add_tcase(s, tc);
	return s;
}
