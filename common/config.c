/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/config.h"

#include "common/buf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_FAR 3 /* letters that a name may be wrong in to be meant */

/* --- the options of a command */

int config_walk(const struct argp *argp, int (*fn)(void *arg, const struct argp_option *option), void *arg)
{
	int ret = 0;

	for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc || o->group) && !ret; o++)
		if (o->name && !(o->flags & OPTION_DOC))
			ret = fn(arg, o);
	for (const struct argp_child *c = argp->children; c && c->argp && !ret; c++)
		ret = config_walk(c->argp, fn, arg);
	return ret;
}

void config_variable(const char *option, char name[CONFIG_NAME_MAX])
{
	size_t n = (size_t)snprintf(name, CONFIG_NAME_MAX, CONFIG_ENVIRONMENT "%s", option);

	for (size_t i = sizeof(CONFIG_ENVIRONMENT) - 1; i < n && i < CONFIG_NAME_MAX; i++)
		name[i] = option[i - (sizeof(CONFIG_ENVIRONMENT) - 1)] == '-' ? '_' : (char)toupper((unsigned char)name[i]);
}

enum from { FROM_FILE, FROM_ENVIRONMENT, FROM_LINE, FROM_NOWHERE };

struct known {
	const struct argp_option *option;
	enum from from; /* the last of those that give it: only that one counts */
	int line;       /* of the file; 0: it is not there */
};

struct text {
	struct text *next;
	char s[];
};

struct build {
	struct config *config;
	struct known *known;
	struct argp_option *table; /* the same, for argp */
	size_t n_known;
	const char *file; /* --config; NULL: none */
	bool is_alone;    /* neither file nor environment */
	struct err *err;
};

static int note_option(void *arg, const struct argp_option *option)
{
	struct build *b = arg;

	if (b->known) {
		b->known[b->n_known].option = option;
		b->known[b->n_known].from = FROM_NOWHERE;
		b->table[b->n_known] = *option;
	}
	b->n_known++;
	return 0;
}

static struct known *find(struct build *b, const char *name, size_t size)
{
	for (size_t i = 0; i < b->n_known; i++)
		if (!strncmp(b->known[i].option->name, name, size) && !b->known[i].option->name[size])
			return &b->known[i];
	return NULL;
}

/* --- what the command line gives */

static error_t note_given(int key, char *arg, struct argp_state *state)
{
	struct build *b = state->input;

	for (size_t i = 0; i < b->n_known; i++)
		if (b->known[i].option->key == key)
			b->known[i].from = FROM_LINE;
	if (key == CONFIG_KEY_FILE)
		b->file = arg;
	b->is_alone |= key == CONFIG_KEY_ALONE;
	return 0;
}

/* false: argp will say what is wrong with it, or show its help. */
static bool look_at_line(struct build *b, int argc, char **argv)
{
	const struct argp argp = { .options = b->table, .parser = note_given };
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));
	bool is_right;

	if (!copy)
		return false;
	memcpy(copy, argv, (size_t)argc * sizeof(*copy));
	is_right = argp_parse(&argp, argc, copy, ARGP_SILENT, NULL, b) == 0;
	free(copy);
	return is_right;
}

/* --- texts */

static char *keep(struct config *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static char *keep(struct config *c, const char *format, ...)
{
	struct text *t;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	t = n < 0 ? NULL : malloc(sizeof(*t) + (size_t)n + 1);
	if (!t)
		return NULL;
	va_start(ap, format);
	vsnprintf(t->s, (size_t)n + 1, format, ap);
	va_end(ap);
	t->next = c->memory;
	c->memory = t;
	return t->s;
}

static int add(struct build *b, char *option, char *origin)
{
	struct config *c = b->config;

	if (!option || !origin)
		return err_set(b->err, ERR_NOMEM, "out of memory");
	if (c->n_before == CONFIG_OPTIONS_MAX)
		return err_set(b->err, ERR_USAGE, "%s: too many options", origin);
	c->origins[c->n_before] = origin;
	c->argv[1 + c->n_before++] = option;
	return 0;
}

/* --- one option */

/* 1, 0; -1: neither. */
static int truth(const char *text)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };

	for (int i = 0; i < 8; i++)
		if (!strcasecmp(text, words[i]))
			return i % 2;
	return -1;
}

/* A value of an option. One without an argument takes yes and no; of one whose argument may be left out both will do. */
static int add_value(struct build *b, const struct argp_option *option, const char *value, char *origin)
{
	bool has_argument = option->arg && !(option->flags & OPTION_ARG_OPTIONAL);
	int is_true = has_argument ? -1 : truth(value);

	if (is_true == 0)
		return 0;
	if (is_true > 0)
		return add(b, keep(b->config, "--%s", option->name), origin);
	if (!option->arg)
		return err_set(b->err, ERR_USAGE, "%s: %s takes yes or no, not '%.40s'", origin, option->name, value);
	return add(b, keep(b->config, "--%s=%s", option->name, value), origin);
}

/* --- the environment */

static const char *get_variable(char **environment, const char *option)
{
	char name[CONFIG_NAME_MAX];
	size_t n;

	config_variable(option, name);
	n = strlen(name);
	for (; environment && *environment; environment++)
		if (!strncmp(*environment, name, n) && (*environment)[n] == '=' && (*environment)[n + 1])
			return *environment + n + 1;
	return NULL;
}

static int add_variable(struct build *b, const struct known *k, const char *value)
{
	char name[CONFIG_NAME_MAX], *copy, *at, *part;
	int ret = 0;

	config_variable(k->option->name, name);
	if (!(k->option->flags & CONFIG_MANY))
		return add_value(b, k->option, value, keep(b->config, "%s", name));
	at = copy = strdup(value);
	if (!copy)
		return err_set(b->err, ERR_NOMEM, "out of memory");
	while (!ret && (part = strsep(&at, ",")))
		if (*part)
			ret = add_value(b, k->option, part, keep(b->config, "%s", name));
	free(copy);
	return ret;
}

static bool is_for_file(const struct argp_option *o)
{
	return o->key != CONFIG_KEY_FILE && o->key != CONFIG_KEY_ALONE;
}

static int add_environment(struct build *b, char **environment)
{
	int ret = 0;

	for (size_t i = 0; i < b->n_known && !ret; i++) {
		const char *value = is_for_file(b->known[i].option) ? get_variable(environment, b->known[i].option->name) : NULL;

		if (!value || b->known[i].from == FROM_LINE)
			continue;
		b->known[i].from = FROM_ENVIRONMENT;
		ret = add_variable(b, &b->known[i], value);
	}
	return ret;
}

/* --- the file */

/* How many letters have to be put in, taken out or changed; more than NAME_FAR: never mind how many. */
static int distance(const char *a, const char *b)
{
	int row[CONFIG_NAME_MAX], n = (int)strlen(b);

	if (n >= CONFIG_NAME_MAX)
		return NAME_FAR + 1;
	for (int j = 0; j <= n; j++)
		row[j] = j;
	for (int i = 1; a[i - 1]; i++) {
		int diagonal = row[0]++;

		for (int j = 1; j <= n; j++) {
			int change = diagonal + (a[i - 1] != b[j - 1]), least = row[j] < row[j - 1] ? row[j] : row[j - 1];

			diagonal = row[j];
			row[j] = least + 1 < change ? least + 1 : change;
		}
	}
	return row[n];
}

static int complain_unknown(const struct build *b, const char *section, const char *name, int line)
{
	const char *nearest = NULL;
	int best = NAME_FAR + 1;

	for (size_t i = 0; i < b->n_known; i++) {
		const struct argp_option *o = b->known[i].option;
		int far = o->flags & OPTION_HIDDEN || !is_for_file(o) ? best : distance(name, o->name);

		if (far < best)
			nearest = o->name;
		best = far < best ? far : best;
	}
	return err_set(b->err, ERR_USAGE, "%.150s:%d: [%s] has no option '%.40s'%s%s%s", b->file, line, section, name,
		       nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

/* Without the white space around it. */
static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t\r");
	for (n = strlen(s); n && strchr(" \t\r", s[n - 1]); n--)
		s[n - 1] = '\0';
	return s;
}

static int complain(const struct build *b, int line, const char *what)
{
	return err_set(b->err, ERR_USAGE, "%.150s:%d: %s", b->file, line, what);
}

static int take_option(struct build *b, const char *section, char *name, char *value, int line)
{
	struct known *k = find(b, name, strlen(name));
	size_t n = strlen(value);

	if (!k || !is_for_file(k->option))
		return complain_unknown(b, section, name, line);
	if (k->line && !(k->option->flags & CONFIG_MANY))
		return err_set(b->err, ERR_USAGE, "%.150s:%d: '%s' stands in line %d already", b->file, line, name, k->line);
	k->line = line;
	if (*value == '"' && (n < 2 || value[n - 1] != '"'))
		return complain(b, line, "a value that begins with a quote has to end with one");
	if (*value == '"') {
		value[n - 1] = '\0';
		value++;
	}
	if (!*value && k->option->arg)
		return err_set(b->err, ERR_USAGE, "%.150s:%d: '%s' has no value", b->file, line, name);
	if (k->from == FROM_LINE || k->from == FROM_ENVIRONMENT)
		return 0;
	return add_value(b, k->option, value, keep(b->config, "%s:%d", b->file, line));
}

/* section: of the lines from here on. */
static int take_section(struct build *b, char *text, char section[CONFIG_NAME_MAX], int line)
{
	static const char *const sections[] = { "serve", "worker" };
	char *end = strchr(text, ']');

	if (!end || end[1])
		return complain(b, line, "a section looks like this: [serve]");
	*end = '\0';
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		if (!strcmp(sections[i], text + 1)) {
			snprintf(section, CONFIG_NAME_MAX, "%s", sections[i]);
			return 0;
		}
	return err_set(b->err, ERR_USAGE, "%.150s:%d: there is no section [%.40s], only [serve] and [worker]", b->file, line, text + 1);
}

static int take_line(struct build *b, const char *ours, char section[CONFIG_NAME_MAX], char *text, int line)
{
	char *equals;

	text = trim(text);
	if (!*text || *text == '#' || *text == ';')
		return 0;
	if (*text == '[')
		return take_section(b, text, section, line);
	equals = strchr(text, '=');
	if (!equals || equals == text)
		return complain(b, line, "a line looks like this: option = value");
	if (!*section)
		return complain(b, line, "a section comes first: [serve] or [worker]");
	if (strcmp(section, ours))
		return 0;
	*equals = '\0';
	return take_option(b, section, trim(text), trim(equals + 1), line);
}

static int read_file(const struct build *b, struct buf *out)
{
	int fd = open(b->file, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	while (fd >= 0 && out->size <= CONFIG_FILE_MAX) {
		uint8_t part[4096];

		n = read(fd, part, sizeof(part));
		if (n > 0)
			buf_put(out, part, (size_t)n);
		if (n == 0 || (n < 0 && errno != EINTR))
			break;
	}
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return err_set(b->err, ERR_USAGE, "cannot read %.300s: %s", b->file, strerror(errno));
	if (out->size > CONFIG_FILE_MAX || memchr(out->data ? out->data : (const uint8_t *)"", 0, out->size))
		return err_set(b->err, ERR_USAGE, "%.300s is no configuration file", b->file);
	return buf_cstr(out) ? 0 : err_set(b->err, ERR_NOMEM, "out of memory");
}

static int add_file(struct build *b, const char *ours)
{
	char section[CONFIG_NAME_MAX] = "", *at, *line;
	struct buf text = { 0 };
	int ret = read_file(b, &text);

	at = (char *)text.data;
	for (int number = 1; !ret && (line = strsep(&at, "\n")); number++)
		ret = take_line(b, ours, section, line, number);
	buf_finish(&text);
	return ret;
}

/* --- all of it */

/* What comes first counts least: argp takes the last of two that exclude each other. */
static int add_all(struct build *b, const char *section, char **environment)
{
	struct config *c = b->config;
	char *options[CONFIG_OPTIONS_MAX];
	int ret = add_environment(b, environment), n = c->n_before;

	if (!b->file)
		b->file = find(b, "config", 6) ? get_variable(environment, "config") : NULL;
	if (ret || !b->file)
		return ret;
	memcpy(options, c->argv + 1, (size_t)n * sizeof(*options));
	ret = add_file(b, section);
	/* the file's go to the front */
	for (int turn = 0; turn < 2 && !ret; turn++) {
		char **row = turn ? c->origins : c->argv + 1;
		int n_file = c->n_before - n;

		memcpy(options, row, (size_t)n * sizeof(*options));
		memmove(row, row + n, (size_t)n_file * sizeof(*options));
		memcpy(row + n_file, options, (size_t)n * sizeof(*options));
	}
	return ret;
}

static int allocate(struct build *b, const struct argp *argp, int argc)
{
	struct config *c = b->config;

	config_walk(argp, note_option, b);
	b->known = calloc(b->n_known + 1, sizeof(*b->known));
	b->table = calloc(b->n_known + 1, sizeof(*b->table));
	c->argv = calloc((size_t)argc + CONFIG_OPTIONS_MAX + 1, sizeof(*c->argv));
	c->origins = calloc(CONFIG_OPTIONS_MAX, sizeof(*c->origins));
	b->n_known = 0;
	if (!b->known || !b->table || !c->argv || !c->origins)
		return err_set(b->err, ERR_NOMEM, "out of memory");
	config_walk(argp, note_option, b);
	return 0;
}

int config_expand(struct config *config, const struct argp *argp, const char *section, int argc, char **argv, char **environment,
		  struct err *err)
{
	struct build b = { .config = config, .err = err };
	int ret;

	memset(config, 0, sizeof(*config));
	ret = allocate(&b, argp, argc);
	if (!ret) {
		config->argv[0] = argv[0];
		if (look_at_line(&b, argc, argv) && !b.is_alone)
			ret = add_all(&b, section, environment);
		memcpy(config->argv + 1 + config->n_before, argv + 1, (size_t)(argc - 1) * sizeof(*argv));
		config->argc = argc + config->n_before;
	}
	free(b.known);
	free(b.table);
	if (ret)
		config_finish(config);
	return ret;
}

void config_finish(struct config *config)
{
	for (struct text *t = config->memory, *next; t; t = next) {
		next = t->next;
		free(t);
	}
	free(config->argv);
	free(config->origins);
	memset(config, 0, sizeof(*config));
}
