/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/keys.h"

#include "common/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

/* --- reading */

/* Opened first and looked at then: what is read is what was looked at. */
static int read_file(const char *path, struct buf *text, struct stat *st, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int ret = 0;
	ssize_t n;
	uint8_t *to;

	if (fd < 0 || fstat(fd, st) < 0)
		ret = err_set(err, ERR_USAGE, "cannot read %.200s: %s", path, strerror(errno));
	else if (!S_ISREG(st->st_mode) || st->st_size > KEYS_FILE_MAX)
		ret = err_set(err, ERR_USAGE, "%.200s is not a file of keys", path);
	/* one byte more than there should be, for the end */
	else if (!(to = buf_grow(text, (size_t)st->st_size + 1)))
		ret = err_set(err, ERR_NOMEM, "no memory for %.200s", path);
	else if ((n = read(fd, to, (size_t)st->st_size)) != st->st_size)
		ret = err_set(err, ERR_USAGE, "cannot read %.200s: %s", path, n < 0 ? strerror(errno) : "it is being written");
	else if (memchr(to, 0, (size_t)n))
		ret = err_set(err, ERR_USAGE, "%.200s is not a file of keys", path);
	else
		to[n] = 0;
	if (fd >= 0)
		close(fd);
	return ret;
}

static bool is_key(const char *word)
{
	uint8_t bytes[32];

	return strlen(word) == KEYS_SIZE - 1 && zmq_z85_decode(bytes, word);
}

/* The next line that says something: its first two words, "" where there is none. false: that was the last. */
static bool next_line(char **text, int *number, char **first, char **second)
{
	static char none[1];
	char *line, *save;

	while ((line = strsep(text, "\n"))) {
		(*number)++;
		*first = strtok_r(line, " \t\r", &save);
		if (!*first || !strcmp(*first, "#"))
			continue;
		*second = strtok_r(NULL, " \t\r", &save);
		if (!*second)
			*second = none;
		return true;
	}
	return false;
}

static int get_pair(char *text, struct keys_pair *pair)
{
	char *name, *key, derived[KEYS_SIZE];
	int number = 0;

	memset(pair, 0, sizeof(*pair));
	while (next_line(&text, &number, &name, &key)) {
		char *to = !strcmp(name, "public-key") ? pair->public_key : !strcmp(name, "secret-key") ? pair->secret_key : NULL;

		if (!to || *to || !is_key(key))
			return ERR_DATA;
		memcpy(to, key, KEYS_SIZE);
	}
	if (!pair->public_key[0] || !pair->secret_key[0] || zmq_curve_public(derived, pair->secret_key) < 0)
		return ERR_DATA;
	return strcmp(derived, pair->public_key) ? ERR_DATA : 0;
}

int keys_read_pair(const char *path, struct keys_pair *pair, struct err *err)
{
	struct buf text = { 0 };
	struct stat st;
	int ret = read_file(path, &text, &st, err);

	if (!ret && st.st_mode & 077)
		ret = err_set(err, ERR_USAGE, "others can read the secret key in %.200s; chmod 600 it", path);
	else if (!ret && get_pair((char *)text.data, pair) < 0)
		ret = err_set(err, ERR_USAGE, "%.200s is not a key pair as 'segfarm keygen' makes it", path);
	if (text.data)
		explicit_bzero(text.data, text.size);
	buf_finish(&text);
	return ret;
}

int keys_read_secrets(const char *path, const char *kind, int (*fn)(void *arg, const char *word), void *arg, struct err *err)
{
	struct buf text = { 0 };
	char *at, *word, *remark;
	int number = 0;
	struct stat st;
	int ret = read_file(path, &text, &st, err);

	if (!ret && st.st_mode & 077)
		ret = err_set(err, ERR_USAGE, "others can read %.200s; chmod 600 it", path);
	at = (char *)text.data;
	while (!ret && next_line(&at, &number, &word, &remark))
		if (fn(arg, word) < 0)
			ret = err_set(err, ERR_USAGE, "line %d of %.200s is not %s", number, path, kind);
	if (text.data)
		explicit_bzero(text.data, text.size);
	buf_finish(&text);
	return ret;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Into an array of its own. */
static int get_list(const char *path, char *text, char (**keys)[KEYS_SIZE], size_t *n, struct err *err)
{
	char *key, *remark;
	int number = 0;
	size_t n_lines = 1;

	for (const char *p = text; (p = strchr(p, '\n')); p++)
		n_lines++;
	*n = 0;
	*keys = calloc(n_lines, sizeof(**keys));
	if (!*keys)
		return err_set(err, ERR_NOMEM, "no memory for the keys in %.200s", path);
	while (next_line(&text, &number, &key, &remark)) {
		if (!is_key(key)) {
			free(*keys);
			return err_set(err, ERR_USAGE, "line %d of %.200s is not a public key", number, path);
		}
		memcpy((*keys)[(*n)++], key, KEYS_SIZE);
	}
	qsort(*keys, *n, sizeof(**keys), compare_keys);
	return 0;
}

static int read_list(const char *path, char (**keys)[KEYS_SIZE], size_t *n, struct stat *st, struct err *err)
{
	struct buf text = { 0 };
	int ret = read_file(path, &text, st, err);

	if (!ret)
		ret = get_list(path, (char *)text.data, keys, n, err);
	buf_finish(&text);
	return ret;
}

int keys_read_public(const char *path, char key[KEYS_SIZE], struct err *err)
{
	char (*keys)[KEYS_SIZE];
	struct stat st;
	size_t n;
	int ret = read_list(path, &keys, &n, &st, err);

	if (ret < 0)
		return ret;
	if (n == 1)
		memcpy(key, keys[0], KEYS_SIZE);
	else
		ret = err_set(err, ERR_USAGE, "%.200s holds %zu public keys, not one", path, n);
	free(keys);
	return ret;
}

/* --- lists */

int keys_list_open(struct keys_list *list, const char *path, struct err *err)
{
	*list = (struct keys_list){ .path = path };
	return read_list(path, &list->keys, &list->n, &list->seen, err);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

int keys_list_refresh(struct keys_list *list, struct err *err)
{
	char (*keys)[KEYS_SIZE];
	struct stat st = { 0 }; /* of a file that is gone */
	size_t n;
	int ret;

	if (stat(list->path, &st) < 0)
		memset(&st, 0, sizeof(st));
	if (is_same(&st, &list->seen))
		return 0;
	list->seen = st;
	ret = read_list(list->path, &keys, &n, &st, err);
	if (ret < 0)
		return ret;
	list->seen = st;
	free(list->keys);
	list->keys = keys;
	list->n = n;
	return 1;
}

bool keys_list_has(const struct keys_list *list, const char *key)
{
	return list->n && bsearch(key, list->keys, list->n, sizeof(*list->keys), compare_keys);
}

void keys_list_finish(struct keys_list *list)
{
	free(list->keys);
	*list = (struct keys_list){ 0 };
}

/* --- both */

int keys_access_open(struct keys_access *access, const char *pair, const char *others, bool is_dispatcher, struct err *err)
{
	int ret;

	if (!pair && !others)
		return 0;
	if (!pair || !others)
		return err_set(err, ERR_USAGE, "--keys FILE and %s FILE go together", is_dispatcher ? "--allow-workers" : "--dispatcher-key");
	ret = keys_read_pair(pair, &access->pair, err);
	if (!ret && is_dispatcher)
		ret = keys_list_open(&access->allowed, others, err);
	else if (!ret)
		ret = keys_read_public(others, access->server_key, err);
	access->has_keys = !ret;
	return ret;
}

void keys_access_finish(struct keys_access *access)
{
	keys_list_finish(&access->allowed);
	explicit_bzero(access, sizeof(*access));
}

/* --- making */

static int write_new(const char *path, mode_t mode, const char *text, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	ssize_t size = (ssize_t)strlen(text);
	int ret = 0;

	if (fd < 0 && errno == EEXIST)
		return err_set(err, ERR_USAGE, "%.200s is there already, and keys are not overwritten", path);
	if (fd < 0)
		return err_set(err, ERR_USAGE, "cannot make %.200s: %s", path, strerror(errno));
	if (write(fd, text, (size_t)size) != size || fsync(fd) < 0)
		ret = err_set(err, ERR_USAGE, "cannot write %.200s: %s", path, strerror(errno));
	if (close(fd) < 0 && !ret)
		ret = err_set(err, ERR_USAGE, "cannot write %.200s: %s", path, strerror(errno));
	if (ret)
		unlink(path);
	return ret;
}

int keys_make(const char *path, struct keys_pair *pair, struct err *err)
{
	char *public_path, host[64] = "", line[256];
	int ret;

	if (zmq_curve_keypair(pair->public_key, pair->secret_key) < 0)
		return err_set(err, ERR_UNSUPPORTED, "this libzmq was built without CURVE: keys cannot be made");
	if (asprintf(&public_path, "%s.pub", path) < 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	gethostname(host, sizeof(host) - 1);
	snprintf(line, sizeof(line), "%s made on %s\n", pair->public_key, host);
	ret = write_new(public_path, 0644, line, err);
	if (!ret) {
		snprintf(line, sizeof(line), "# a key pair of segfarm: for nobody else's eyes\npublic-key %s\nsecret-key %s\n",
			 pair->public_key, pair->secret_key);
		ret = write_new(path, 0600, line, err);
		explicit_bzero(line, sizeof(line));
		if (ret)
			unlink(public_path);
	}
	free(public_path);
	return ret;
}
