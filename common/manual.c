/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/manual.h"

#include "common/buf.h"
#include "common/config.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS 76
#define DATE "2026-11-22" /* of the pages */

/* --- roff */

static void put_char(struct buf *out, char c)
{
	if (c == '\\')
		buf_put_str(out, "\\e");
	else if (c == '-')
		buf_put_str(out, "\\-");
	else
		buf_put_u8(out, (uint8_t)c);
}

static void put_escaped(struct buf *out, const char *s, size_t n)
{
	if (n && (*s == '.' || *s == '\''))
		buf_put_str(out, "\\&");
	for (size_t i = 0; i < n; i++)
		put_char(out, s[i]);
}

static bool ends_sentence(const char *s, size_t n)
{
	return n > 2 && (s[n - 1] == '.' || s[n - 1] == ':') && s[n - 2] != '.';
}

/* Words, a sentence on lines of its own. */
static void put_words(struct buf *out, const char *s, size_t size)
{
	size_t column = 0;

	for (size_t i = 0, n; i < size; i += n) {
		while (i < size && (s[i] == ' ' || s[i] == '\n'))
			i++;
		for (n = 0; i + n < size && s[i + n] != ' ' && s[i + n] != '\n';)
			n++;
		if (!n)
			break;
		if (column && column + n + 1 > COLUMNS) {
			buf_put_u8(out, '\n');
			column = 0;
		}
		if (column)
			buf_put_u8(out, ' ');
		put_escaped(out, s + i, n);
		column += n + 1;
		if (ends_sentence(s + i, n) && i + n < size) {
			buf_put_u8(out, '\n');
			column = 0;
		}
	}
	buf_put_u8(out, '\n');
}

/* As they are, line by line. */
static void put_example(struct buf *out, const char *s, size_t size)
{
	buf_put_str(out, ".PP\n.RS\n.nf\n");
	for (size_t at = 0; at < size;) {
		const char *end = memchr(s + at, '\n', size - at);
		size_t n = end ? (size_t)(end - s) - at : size - at, spaces = 0;

		while (spaces < n && s[at + spaces] == ' ')
			spaces++;
		put_escaped(out, s + at + spaces, n - spaces);
		buf_put_u8(out, '\n');
		at += n + 1;
	}
	buf_put_str(out, ".fi\n.RE\n");
}

/* Paragraphs with an empty line between them; those that begin with white space are examples. \v is a paragraph's end too. */
static void put_paragraphs(struct buf *out, bool is_after_heading, const char *doc)
{
	while (*doc) {
		const char *end = strstr(doc, "\n\n"), *turn = strchr(doc, '\v');
		size_t n;

		end = !end || (turn && turn < end) ? turn : end;
		n = end ? (size_t)(end - doc) : strlen(doc);
		if (n && *doc == ' ') {
			put_example(out, doc, n);
		} else if (n) {
			buf_put_str(out, is_after_heading ? "" : ".PP\n");
			put_words(out, doc, n);
		}
		is_after_heading = false;
		doc += n;
		doc += strspn(doc, "\n\v");
	}
}

/* --- pages */

static bool is_shown(const struct argp_option *o)
{
	return !(o->flags & OPTION_HIDDEN);
}

static bool has_letter(const struct argp_option *o)
{
	return o->key > ' ' && o->key < 0x7f;
}

static int put_option(void *arg, const struct argp_option *o)
{
	struct buf *out = arg;
	bool is_optional = o->flags & OPTION_ARG_OPTIONAL;

	if (!is_shown(o))
		return 0;
	buf_put_str(out, ".TP\n");
	if (has_letter(o))
		buf_printf(out, "\\fB\\-%c\\fR, ", o->key);
	buf_put_str(out, "\\fB\\-\\-");
	put_escaped(out, o->name, strlen(o->name));
	buf_put_str(out, "\\fR");
	if (o->arg) {
		buf_put_str(out, is_optional ? "[=\\fI" : "=\\fI");
		put_escaped(out, o->arg, strlen(o->arg));
		buf_put_str(out, is_optional ? "\\fR]" : "\\fR");
	}
	buf_put_u8(out, '\n');
	put_words(out, o->doc, strlen(o->doc));
	return 0;
}

static void put_synopsis(const struct manual *m, const struct manual_command *c, struct buf *out)
{
	buf_put_str(out, "\\fB");
	put_escaped(out, m->program, strlen(m->program));
	if (*c->name)
		buf_put_u8(out, ' ');
	put_escaped(out, c->name, strlen(c->name));
	buf_put_str(out, "\\fR [\\fIOPTION\\fR...]");
	if (*c->args) {
		buf_put_str(out, " \\fI");
		put_escaped(out, c->args, strlen(c->args));
		buf_put_str(out, "\\fR");
	}
	buf_put_u8(out, '\n');
}

static void put_command(const struct manual *m, const struct manual_command *c, struct buf *out)
{
	buf_printf(out, ".SH %s\n", *c->name ? c->name : "OPTIONS");
	put_synopsis(m, c, out);
	if (c->argp->doc)
		put_paragraphs(out, false, c->argp->doc);
	config_walk(c->argp, put_option, out);
}

static int is_config(void *arg, const struct argp_option *o)
{
	(void)arg;
	return o->key == CONFIG_KEY_FILE;
}

static void put_page(const struct manual *m, struct buf *out)
{
	buf_printf(out, ".TH %s 1 %s \"segfarm %s\"\n.SH NAME\n", m->program, DATE, SEGFARM_VERSION);
	put_escaped(out, m->program, strlen(m->program));
	buf_put_str(out, " \\- ");
	put_escaped(out, m->summary, strlen(m->summary));
	buf_put_str(out, "\n.SH SYNOPSIS\n");
	for (const struct manual_command *c = m->commands; c->name; c++) {
		if (c != m->commands)
			buf_put_str(out, ".br\n");
		put_synopsis(m, c, out);
	}
	for (const struct manual_command *c = m->commands; c->name; c++)
		put_command(m, c, out);
	buf_put_str(out, ".SH ENVIRONMENT\n");
	put_paragraphs(out, true, "Each option is also a variable: SEGFARM_ and its name in capitals, with _ for -: SEGFARM_LOG_LEVEL for "
			    "--log-level. Options without an argument take yes or no, those that may be given more than once several "
			    "values with commas between them. What the command line gives of an option replaces the variable.");
	buf_put_str(out, ".SH EXIT STATUS\n");
	put_paragraphs(out, true, "0: done. 1: it could not be done, and why is written to standard error. 2: wrong use. 128 + N: ended by "
			    "signal N.");
	buf_put_str(out, ".SH SEE ALSO\n.BR segfarm (1),\n.BR segfarm\\-worker (1),\n.BR segfarm.conf (5)\n");
}

static void put_conf(struct buf *out)
{
	buf_printf(out, ".TH segfarm.conf 5 %s \"segfarm %s\"\n.SH NAME\nsegfarm.conf \\- options of segfarm serve and segfarm\\-worker\n",
		   DATE, SEGFARM_VERSION);
	buf_put_str(out, ".SH DESCRIPTION\n");
	put_paragraphs(out, true,
		       "A file that is given with --config (or SEGFARM_CONFIG) has the options of both programs, by their long names. There is "
		       "no place where it is looked for by itself. What is wrong in it is told with its line, and nothing is started.\n\n"
		       "  [serve]\n"
		       "  redis = unix:///run/segfarm/redis.sock\n"
		       "  bind = ipc:///run/segfarm/bus.sock\n"
		       "  media-root = /srv/films\n"
		       "  media-root = /srv/more films\n"
		       "  on-demand = yes\n"
		       "  \n"
		       "  [worker]\n"
		       "  # lines that begin with # or ; are remarks\n"
		       "  connect = ipc:///run/segfarm/bus.sock\n"
		       "  redis = unix:///run/segfarm/redis.sock\n"
		       "  media-root = /srv\n\n"
		       "Options that may be given more than once have a line for each value. Those without an argument take yes or no. White "
		       "space around a value is left out, unless the value stands in quotes; nothing is escaped. The command line goes before "
		       "the environment, and that before the file: what one of them gives of an option replaces what those behind it give of "
		       "the same.\n\n"
		       "SIGHUP has the file read again. A password of Redis is best kept here, in a file that others cannot read: "
		       "command lines are seen by every user of the machine.");
}

static void put_section(const char *section, const struct argp *argp, struct buf *out)
{
	buf_printf(out, ".SH [%s]\n", section);
	config_walk(argp, put_option, out);
}

/* --- completion */

struct names {
	struct buf *out;
	const char *before, *program, *command; /* of fish */
};

static int put_name(void *arg, const struct argp_option *o)
{
	struct names *n = arg;

	if (is_shown(o))
		buf_printf(n->out, "%s--%s%s", n->before, o->name, o->arg && !(o->flags & OPTION_ARG_OPTIONAL) ? "=" : "");
	return 0;
}

static int put_fish_option(void *arg, const struct argp_option *o)
{
	struct names *n = arg;

	if (!is_shown(o))
		return 0;
	buf_printf(n->out, "complete -c %s", n->program);
	if (*n->command)
		buf_printf(n->out, " -n '__fish_seen_subcommand_from %s'", n->command);
	buf_printf(n->out, " -l %s", o->name);
	if (has_letter(o))
		buf_printf(n->out, " -s %c", o->key);
	buf_put_str(n->out, o->arg && !(o->flags & OPTION_ARG_OPTIONAL) ? " -r\n" : "\n");
	return 0;
}

static void put_fish(const struct manual *m, struct buf *out)
{
	for (const struct manual_command *c = m->commands; c->name; c++) {
		struct names n = { out, NULL, m->program, c->name };

		if (*c->name)
			buf_printf(out, "complete -c %s -n __fish_use_subcommand -a %s -d '%s'\n", m->program, c->name, c->summary);
		config_walk(c->argp, put_fish_option, &n);
	}
}

/* A case of bash or zsh for each command, which sets $names; the last one is for where there is none yet. */
static void put_cases(const struct manual *m, struct buf *out)
{
	struct names n = { out, " ", NULL, NULL };

	for (const struct manual_command *c = m->commands; c->name; c++) {
		if (!*c->name)
			continue;
		buf_printf(out, "\t%s) names='--help", c->name);
		config_walk(c->argp, put_name, &n);
		buf_put_str(out, "' ;;\n");
	}
	buf_put_str(out, "\t*) names='--help --version");
	for (const struct manual_command *c = m->commands; c->name; c++) {
		if (*c->name)
			buf_printf(out, " %s", c->name);
		else
			config_walk(c->argp, put_name, &n);
	}
	buf_put_str(out, "' ;;\n");
}

/* A name for a function of a shell. */
static void put_function(const struct manual *m, struct buf *out)
{
	buf_put_u8(out, '_');
	for (const char *c = m->program; *c; c++)
		buf_put_u8(out, *c == '-' ? '_' : (uint8_t)*c);
}

static void put_bash(const struct manual *m, struct buf *out)
{
	put_function(m, out);
	buf_put_str(out, "()\n{\n\tlocal names word=${COMP_WORDS[COMP_CWORD]}\n\n\tcase $COMP_CWORD:${COMP_WORDS[1]} in\n\t1:*) set -- '' ;;\n"
			 "\t*) set -- \"${COMP_WORDS[1]}\" ;;\n\tesac\n\tcase $1 in\n");
	put_cases(m, out);
	buf_put_str(out, "\tesac\n\tCOMPREPLY=($(compgen -W \"$names\" -- \"$word\"))\n"
			 "\t[[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace\n\treturn 0\n}\ncomplete -o default -F ");
	put_function(m, out);
	buf_printf(out, " %s\n", m->program);
}

static void put_zsh(const struct manual *m, struct buf *out)
{
	buf_printf(out, "#compdef %s\nif compset -P '--*='; then\n\t_files\n\treturn\nfi\nlocal names first=\"${words[2]}\"\n"
			"[[ $CURRENT -eq 2 ]] && first=''\ncase $first in\n", m->program);
	put_cases(m, out);
	buf_put_str(out, "esac\ncompadd -S '' -- ${(M)${=names}:#*=}\ncompadd -- ${${=names}:#*=}\n_files\n");
}

static bool put_completion(const struct manual *m, const char *shell, struct buf *out)
{
	if (!strcmp(shell, "bash"))
		put_bash(m, out);
	else if (!strcmp(shell, "zsh"))
		put_zsh(m, out);
	else if (!strcmp(shell, "fish"))
		put_fish(m, out);
	else
		return false;
	return true;
}

static void put_sections(const struct manual *m, struct buf *out)
{
	for (const struct manual_command *c = m->commands; c->name; c++)
		if (config_walk(c->argp, is_config, NULL))
			put_section(*c->name ? c->name : "worker", c->argp, out);
}

int manual_main(const struct manual *m, const char *what)
{
	struct buf out = { 0 };
	bool is_known = true;

	if (!strcmp(what, "man"))
		put_page(m, &out);
	else if (!strcmp(what, "conf"))
		put_conf(&out);
	else if (!strcmp(what, "sections"))
		put_sections(m, &out);
	else
		is_known = put_completion(m, what, &out);
	if (is_known && !buf_failed(&out))
		fwrite(out.data, 1, out.size, stdout);
	buf_finish(&out);
	return is_known ? 0 : 2;
}
