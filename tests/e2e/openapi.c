/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/e2e/openapi.h"

#include <check.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE_MAX 256

struct place {
	const struct openapi *api;
	char at[PLACE_MAX]; /* where in the value we are */
	char **why;
};

static bool is_wrong(struct place *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool is_wrong(struct place *p, const char *format, ...)
{
	char *text;
	va_list ap;

	va_start(ap, format);
	ck_assert_int_ge(vasprintf(&text, format, ap), 0);
	va_end(ap);
	free(*p->why);
	ck_assert_int_ge(asprintf(p->why, "%s %s", p->at[0] ? p->at : "the value", text), 0);
	free(text);
	return false;
}

/* What "#/components/..." leads to. */
static const json_t *resolve(const struct openapi *o, const json_t *node)
{
	const char *ref = json_string_value(json_object_get(node, "$ref"));
	char name[PLACE_MAX], *rest = name, *part;
	const json_t *at = o->root;

	if (!ref)
		return node;
	ck_assert_msg(!strncmp(ref, "#/", 2), "%s", ref);
	snprintf(name, sizeof(name), "%s", ref + 2);
	while ((part = strsep(&rest, "/")))
		at = json_object_get(at, part);
	ck_assert_msg(at != NULL, "%s leads nowhere", ref);
	return at;
}

static bool is_type(const char *type, const json_t *v)
{
	return (!strcmp(type, "object") && json_is_object(v)) || (!strcmp(type, "array") && json_is_array(v)) ||
	       (!strcmp(type, "string") && json_is_string(v)) || (!strcmp(type, "integer") && json_is_integer(v)) ||
	       (!strcmp(type, "number") && json_is_number(v)) || (!strcmp(type, "boolean") && json_is_boolean(v)) ||
	       (!strcmp(type, "null") && json_is_null(v));
}

static bool has_type(struct place *p, const json_t *types, const json_t *v)
{
	const json_t *type;
	size_t i;

	if (json_is_string(types))
		return is_type(json_string_value(types), v) || is_wrong(p, "is no %s", json_string_value(types));
	json_array_foreach(types, i, type)
		if (is_type(json_string_value(type), v))
			return true;
	return is_wrong(p, "is of another type");
}

static bool is_in(struct place *p, const json_t *values, const json_t *v)
{
	const json_t *value;
	size_t i;

	json_array_foreach(values, i, value)
		if (json_equal(value, v))
			return true;
	return is_wrong(p, "is none of the values of its enum");
}

static bool matches(struct place *p, const char *pattern, const json_t *v)
{
	regex_t regex;
	int ret;

	ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	ret = json_is_string(v) ? regexec(&regex, json_string_value(v), 0, NULL, 0) : 0;
	regfree(&regex);
	return !ret || is_wrong(p, "does not match %s", pattern);
}

static bool has_required(struct place *p, const json_t *names, const json_t *v)
{
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
		if (json_is_object(v) && !json_object_get(v, json_string_value(name)))
			return is_wrong(p, "has no %s", json_string_value(name));
	return true;
}

static bool is_valid(struct place *p, const json_t *schema, const json_t *v);

static bool is_valid_at(struct place *p, const char *name, const json_t *schema, const json_t *v)
{
	struct place inner = *p;

	snprintf(inner.at, sizeof(inner.at), "%.200s.%.50s", p->at, name);
	return is_valid(&inner, schema, v);
}

static bool has_members(struct place *p, const json_t *schema, const json_t *v)
{
	const json_t *properties = json_object_get(schema, "properties"), *property;
	bool is_closed = json_is_false(json_object_get(schema, "additionalProperties"));
	const char *name;
	json_t *member;

	json_object_foreach((json_t *)(uintptr_t)v, name, member) {
		property = json_object_get(properties, name);
		if (!property && is_closed)
			return is_wrong(p, "has a member %s that is not described", name);
		if (property && !is_valid_at(p, name, property, member))
			return false;
	}
	return true;
}

static bool has_items(struct place *p, const json_t *schema, const json_t *v)
{
	const json_t *item;
	size_t i;

	json_array_foreach(v, i, item)
		if (!is_valid_at(p, "[]", schema, item))
			return false;
	return true;
}

static bool has_all(struct place *p, const json_t *schemas, const json_t *v)
{
	const json_t *schema;
	size_t i;

	json_array_foreach(schemas, i, schema)
		if (!is_valid(p, schema, v))
			return false;
	return true;
}

static bool holds(struct place *p, const json_t *schema, const char *keyword, const json_t *what, const json_t *v)
{
	double limit = json_number_value(what), number = json_number_value(v);

	if (!strcmp(keyword, "type"))
		return has_type(p, what, v);
	if (!strcmp(keyword, "enum"))
		return is_in(p, what, v);
	if (!strcmp(keyword, "pattern"))
		return matches(p, json_string_value(what), v);
	if (!strcmp(keyword, "required"))
		return has_required(p, what, v);
	if (!strcmp(keyword, "properties") || !strcmp(keyword, "additionalProperties"))
		return has_members(p, schema, v);
	if (!strcmp(keyword, "items"))
		return has_items(p, what, v);
	if (!strcmp(keyword, "allOf"))
		return has_all(p, what, v);
	if (!strcmp(keyword, "minimum"))
		return !json_is_number(v) || number >= limit || is_wrong(p, "is below %g", limit);
	if (!strcmp(keyword, "maximum"))
		return !json_is_number(v) || number <= limit || is_wrong(p, "is over %g", limit);
	if (!strcmp(keyword, "minLength"))
		return !json_is_string(v) || (double)json_string_length(v) >= limit || is_wrong(p, "is too short");
	if (!strcmp(keyword, "maxLength"))
		return !json_is_string(v) || (double)json_string_length(v) <= limit || is_wrong(p, "is too long");
	return !strcmp(keyword, "description") || !strcmp(keyword, "default") || is_wrong(p, "has a schema with %s", keyword);
}

static bool is_valid(struct place *p, const json_t *schema, const json_t *v)
{
	const char *keyword;
	json_t *what;

	schema = resolve(p->api, schema);
	json_object_foreach((json_t *)(uintptr_t)schema, keyword, what)
		if (!holds(p, schema, keyword, what, v))
			return false;
	return true;
}

bool openapi_is_valid(const struct openapi *o, const char *schema, const json_t *value, char **why)
{
	const json_t *schemas = json_object_get(json_object_get(o->root, "components"), "schemas");
	struct place place = { .api = o, .why = why };

	*why = NULL;
	ck_assert_msg(json_object_get(schemas, schema) != NULL, "there is no schema %s", schema);
	return is_valid(&place, json_object_get(schemas, schema), value);
}

void openapi_init(struct openapi *o, json_t *root)
{
	o->root = root;
	o->given = json_object();
}

void openapi_free(struct openapi *o)
{
	json_decref(o->root);
	json_decref(o->given);
}

/* Of a response that is described: its body, if it has one. */
static void check_body(struct openapi *o, const char *name, const json_t *response, const struct reply *r)
{
	const json_t *content = json_object_get(resolve(o, response), "content"), *media;
	char *type = client_header(r, "Content-Type"), *why = NULL;
	struct place place = { .api = o, .why = &why };
	json_t *body;

	if (!content) {
		ck_assert_msg(!r->size && !type, "%s has a body:\n%s%s", name, r->head, r->body);
		return;
	}
	media = json_object_get(content, type ? type : "");
	ck_assert_msg(media != NULL, "%s is of type %s", name, type);
	if (!strstr(type, "json")) {
		free(type);
		return;
	}
	body = client_json(r);
	ck_assert_msg(is_valid(&place, json_object_get(media, "schema"), body), "%s: %s in %.500s", name, why, r->body);
	json_decref(body);
	free(type);
}

static void check_headers(const char *name, const json_t *response, const struct reply *r)
{
	const char *header;
	json_t *what;

	json_object_foreach(json_object_get(response, "headers"), header, what) {
		char *value = client_header(r, header);

		ck_assert_msg(value != NULL, "%s has no %s:\n%s", name, header, r->head);
		free(value);
	}
}

void openapi_check(struct openapi *o, const char *method, const char *path, const struct reply *r)
{
	const json_t *item = json_object_get(json_object_get(o->root, "paths"), path), *response;
	char lower[16], status[12], name[PLACE_MAX];

	snprintf(name, sizeof(name), "%s %s %d", method, path, r->status);
	snprintf(status, sizeof(status), "%d", r->status);
	for (size_t i = 0; i <= strlen(method) && i < sizeof(lower); i++)
		lower[i] = method[i] ? (char)(method[i] | 0x20) : 0;
	response = json_object_get(json_object_get(json_object_get(item, lower), "responses"), status);
	ck_assert_msg(response != NULL, "%s is not described:\n%s%s", name, r->head, r->body);
	check_headers(name, response, r);
	check_body(o, name, response, r);
	json_object_set_new(o->given, name, json_true());
}

void openapi_check_all_given(const struct openapi *o)
{
	const char *path, *method, *status;
	json_t *item, *operation, *response;
	char name[PLACE_MAX], upper[16];
	size_t n = 0;

	json_object_foreach(json_object_get(o->root, "paths"), path, item)
		json_object_foreach(item, method, operation)
			json_object_foreach(json_object_get(operation, "responses"), status, response) {
				for (size_t i = 0; i <= strlen(method) && i < sizeof(upper); i++)
					upper[i] = method[i] ? (char)(method[i] & ~0x20) : 0;
				snprintf(name, sizeof(name), "%s %s %s", upper, path, status);
				ck_assert_msg(json_object_get(o->given, name) != NULL, "%s was never answered", name);
				n++;
			}
	ck_assert_uint_gt(n, 40);
}
