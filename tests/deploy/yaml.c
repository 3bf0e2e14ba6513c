/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/deploy/yaml.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static json_t *of_node(yaml_document_t *document, yaml_node_t *node);

static json_t *of_sequence(yaml_document_t *document, const yaml_node_t *node)
{
	json_t *array = json_array();

	for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++)
		json_array_append_new(array, of_node(document, yaml_document_get_node(document, *item)));
	return array;
}

/* What is written in a mapping goes before what is merged into it. */
static json_t *of_mapping(yaml_document_t *document, const yaml_node_t *node)
{
	json_t *object = json_object();

	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(document, pair->key);
		json_t *value = of_node(document, yaml_document_get_node(document, pair->value));
		const char *name;

		ck_assert_int_eq(key->type, YAML_SCALAR_NODE);
		name = (const char *)key->data.scalar.value;
		if (strcmp(name, "<<")) {
			json_object_set_new(object, name, value);
		} else {
			json_object_update_missing(object, value);
			json_decref(value);
		}
	}
	return object;
}

static json_t *of_node(yaml_document_t *document, yaml_node_t *node)
{
	switch (node->type) {
	case YAML_SEQUENCE_NODE:
		return of_sequence(document, node);
	case YAML_MAPPING_NODE:
		return of_mapping(document, node);
	default:
		return json_string((const char *)node->data.scalar.value);
	}
}

json_t *yaml_read(const char *path)
{
	FILE *f = fopen(path, "r");
	json_t *documents = json_array();
	yaml_parser_t parser;
	bool is_end = false;

	ck_assert_msg(f, "%s cannot be opened", path);
	yaml_parser_initialize(&parser);
	yaml_parser_set_input_file(&parser, f);
	while (!is_end) {
		yaml_document_t document;
		yaml_node_t *root;

		ck_assert_msg(yaml_parser_load(&parser, &document), "%s:%zu: %s", path, parser.problem_mark.line + 1, parser.problem);
		root = yaml_document_get_root_node(&document);
		is_end = !root;
		if (root)
			json_array_append_new(documents, of_node(&document, root));
		yaml_document_delete(&document);
	}
	yaml_parser_delete(&parser);
	fclose(f);
	ck_assert_msg(json_array_size(documents), "%s is empty", path);
	return documents;
}

json_t *yaml_at(const json_t *in, const char *path)
{
	char part[128];

	while (in && *path) {
		size_t n = strcspn(path, ".");

		ck_assert_uint_lt(n, sizeof part);
		memcpy(part, path, n);
		part[n] = '\0';
		in = json_is_array(in) ? json_array_get(in, strtoul(part, NULL, 10)) : json_object_get(in, part);
		path += n + (path[n] == '.');
	}
	return (json_t *)(uintptr_t)in;
}

const char *yaml_text(const json_t *in, const char *path)
{
	const char *text = json_string_value(yaml_at(in, path));

	return text ? text : "";
}

bool yaml_has(const json_t *array, const char *text)
{
	size_t i;
	json_t *item;

	json_array_foreach(array, i, item)
		if (json_is_string(item) && !strcmp(json_string_value(item), text))
			return true;
	return false;
}
