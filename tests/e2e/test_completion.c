/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Completion, in the shells themselves: what a line that is begun becomes. Shells that are not here are left out, and that is said.
 */
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* $line with the words that it may go on with, in place of the last one. */
static const char bash[] = "shopt -s extglob\ncompopt() { :; }\nCOMP_WORDS=($line)\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
			   "for p in segfarm segfarm-worker; do\n. \"$BUILD/share/bash-completion/completions/$p\"\ndone\n"
			   "f=_${COMP_WORDS[0]//-/_}\n$f\necho \"${line% *} ${COMPREPLY[*]:-${line##* }}\"\n";

/* A shell at a terminal of its own gets the line, TAB, and a key that writes down what stands there then. */
static const char zsh[] = "zmodload zsh/zpty\nrm -f \"$dir/buffer\"\n"
			  "zpty z 'TERM=dumb zsh -f -i'\n"
			  "zpty -w z \"fpath=($BUILD/share/zsh/site-functions \\$fpath); autoload -Uz compinit; compinit -u -D\"\n"
			  "zpty -w z \"dump() { print -r -- \\\"\\$BUFFER\\\" >'$dir/new' && mv '$dir/new' '$dir/buffer' }; zle -N dump\"\n"
			  "zpty -w z \"bindkey '^I' complete-word; bindkey '^X' dump; print REA''DY\"\n"
			  "zpty -r z out '*READY*'\n"
			  "zpty -w -n z \"$line\"$'\\t\\x18'\n"
			  "while [[ ! -e $dir/buffer ]]; do zpty -r -t z out; sleep 0.05; done\n"
			  "sed 's/ *$//' \"$dir/buffer\"\n";

static const char fish[] = "for p in segfarm segfarm-worker\nsource $BUILD/share/fish/vendor_completions.d/$p.fish\nend\n"
			   "set found (complete -C \"$line\" | cut -f1)\n"
			   "test (count $found) = 0 && set found (string split ' ' $line)[-1]\n"
			   "echo (string replace -r ' [^ ]*$' '' $line) $found\n";

static const struct {
	const char *name, *start, *script;
} shells[] = { { "bash", "bash", bash }, { "zsh", "zsh -f", zsh }, { "fish", "env HOME=\"$dir\" fish --no-config", fish } };

static const struct {
	const char *line, *expected; /* but for the = of bash and zsh */
} cases[] = {
	{ "segfarm se", "segfarm serve" },
	{ "segfarm serve --read", "segfarm serve --read-ahead" },
	{ "segfarm status --w", "segfarm status --watch" },
	{ "segfarm-worker --dri", "segfarm-worker --dri" },
	{ "segfarm-worker --drai", "segfarm-worker --drain-timeout" },
	{ "segfarm-worker tr", "segfarm-worker transcode" },
	{ "segfarm-worker transcode --max", "segfarm-worker transcode --max-duration" },
};

START_TEST(test_a_line_is_completed)
{
	if (sh_status(NULL, "command -v %s", shells[_i].name)) {
		fprintf(stderr, "completion: skipped for %s, which is not installed\n", shells[_i].name);
		return;
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *out = sh("export dir='%s' line='%s'; cat > \"$dir/complete\" <<'EOF'\n%sEOF\ntimeout 100 %s \"$dir/complete\" | tr -d '=\\n'",
			       sh_scratch(), cases[i].line, shells[_i].script, shells[_i].start);

		ck_assert_msg(!strcmp(out, cases[i].expected), "%s: \"%s\" becomes \"%s\"", shells[_i].name, cases[i].line, out);
		free(out);
	}
}
END_TEST

/* Behind the = of an option; bash does that by itself. */
START_TEST(test_zsh_completes_files_behind_an_option)
{
	char *out;

	if (sh_status(NULL, "command -v zsh")) {
		fprintf(stderr, "completion: skipped for zsh, which is not installed\n");
		return;
	}
	out = sh("export dir='%s'; touch \"$dir/film.mkv\"; export line=\"segfarm serve --media-root=$dir/fil\"; cat > \"$dir/complete\" <<'EOF'\n%sEOF\n"
		 "timeout 100 zsh -f \"$dir/complete\" | grep -xF \"segfarm serve --media-root=$dir/film.mkv\"", sh_scratch(), zsh);
	free(out);
}
END_TEST

Suite *suite_completion(void)
{
	Suite *suite = suite_create("completion");
	TCase *tc = tcase_create("completion");

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, test_a_line_is_completed, 0, sizeof(shells) / sizeof(shells[0]));
	tcase_add_test(tc, test_zsh_completes_files_behind_an_option);
	suite_add_tcase(suite, tc);
	return suite;
}
