/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * compose.yaml: what it names exists, and fits what the programs are told. Where there is a `docker compose`, that has its say, too.
 */
#include "tests/deploy/conf.h"
#include "tests/deploy/yaml.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOP "deploy/compose/"

static json_t *documents, *services;
static char serve[CONF_TEXT_MAX], worker[CONF_TEXT_MAX];

static void set_up(void)
{
	documents = yaml_read(TOP "compose.yaml");
	services = yaml_at(documents, "0.services");
	ck_assert_uint_gt(json_object_size(services), 5);
	conf_read(TOP "segfarm.conf", false, serve);
	conf_read(TOP "segfarm.conf", true, worker);
}

static void tear_down(void)
{
	json_decref(documents);
}

static bool is_ours(const json_t *service)
{
	return !strncmp(yaml_text(service, "image"), "segfarm:", 8);
}

START_TEST(images_are_pinned)
{
	json_t *service;
	const char *name;

	json_object_foreach(services, name, service) {
		const char *image = yaml_text(service, "image");

		ck_assert_msg(strchr(image, ':') && !strstr(image, ":latest"), "%s: which %s?", name, image);
		ck_assert_msg(!is_ours(service) || !strcmp(image, "segfarm:" SEGFARM_VERSION), "%s is not of this version", image);
	}
}
END_TEST

START_TEST(what_services_depend_on_is_there)
{
	json_t *service, *other;
	const char *name, *key;
	size_t i;

	json_object_foreach(services, name, service) {
		json_t *needs = json_object_get(service, "depends_on");

		json_array_foreach(needs, i, other)
			ck_assert_msg(json_object_get(services, json_string_value(other)), "%s needs whom?", name);
		json_object_foreach(needs, key, other) {
			const json_t *needed = json_object_get(services, key);

			ck_assert_msg(needed, "%s needs %s, which is not there", name, key);
			ck_assert_msg(strcmp(yaml_text(other, "condition"), "service_healthy") || json_object_get(needed, "healthcheck"),
				      "%s waits for the health of %s, which tells none", name, key);
		}
	}
}
END_TEST

/* Each string of that list of all services. */
static void check_all(const char *list, void (*check)(const char *service, const char *text))
{
	json_t *service, *text;
	const char *name;
	size_t i;

	json_object_foreach(services, name, service)
		json_array_foreach(json_object_get(service, list), i, text)
			check(name, json_string_value(text));
}

/* "./x:/y:ro" is a file of ours, "x:/y" a volume. */
static void check_volume(const char *service, const char *text)
{
	char name[200], path[400];

	snprintf(name, sizeof name, "%.*s", (int)strcspn(text, ":"), text);
	if (*name == '.') {
		snprintf(path, sizeof path, TOP "%s", name);
		ck_assert_msg(!access(path, R_OK), "%s: there is no %s", service, path);
	} else if (*name != '$') {
		ck_assert_msg(json_object_get(yaml_at(documents, "0.volumes"), name), "%s: there is no volume %s", service, name);
	}
}

START_TEST(volumes_and_files_are_there)
{
	check_all("volumes", check_volume);
}
END_TEST

static void check_port(const char *service, const char *text)
{
	ck_assert_msg(!strcmp(service, "edge") || !strncmp(text, "127.0.0.1:", 10), "%s is open to all", service);
}

START_TEST(nothing_but_the_edge_is_reached_from_elsewhere)
{
	check_all("ports", check_port);
	ck_assert_uint_eq(json_array_size(yaml_at(services, "edge.ports")), 1);
}
END_TEST

START_TEST(our_containers_may_do_as_little_as_possible)
{
	json_t *service;
	const char *name;
	int n = 0;

	json_object_foreach(services, name, service) {
		if (!is_ours(service))
			continue;
		n++;
		ck_assert_str_eq(yaml_text(service, "read_only"), "true");
		ck_assert_str_eq(yaml_text(service, "user"), "10001:10001");
		ck_assert(yaml_has(json_object_get(service, "cap_drop"), "ALL"));
		ck_assert(yaml_has(json_object_get(service, "security_opt"), "no-new-privileges:true"));
		ck_assert_int_gt(atoi(yaml_text(service, "stop_grace_period")), 30); /* --drain-timeout's default */
	}
	ck_assert_int_eq(n, 3);
	ck_assert_str_eq(conf_value(serve, "drain-timeout"), "");
}
END_TEST

/* "tcp://dispatcher:5555" is a service, and its port one that the other side has. */
START_TEST(endpoints_are_those_of_the_services)
{
	json_t *value;
	const char *name;
	char expected[100];

	snprintf(expected, sizeof expected, "tcp://dispatcher%s", strrchr(conf_value(serve, "bind"), ':'));
	ck_assert_str_eq(conf_value(worker, "connect"), expected);
	ck_assert_ptr_nonnull(json_object_get(services, "dispatcher"));
	ck_assert_str_eq(conf_value(serve, "listen"), "0.0.0.0:8090");
	ck_assert_ptr_nonnull(strstr(yaml_text(services, "dispatcher.healthcheck.test.3"), "127.0.0.1:8090/readyz"));
	ck_assert_str_eq(yaml_text(services, "worker.environment.SEGFARM_REDIS"), "redis://redis:6379");
	ck_assert_ptr_nonnull(json_object_get(services, "redis"));
	json_object_foreach(yaml_at(services, "dispatcher.environment"), name, value)
		ck_assert_msg(conf_is_variable(name), "%s is no option", name);
}
END_TEST

/* The service `keys` makes what the configuration names: that script, as it stands there, with the real program. */
START_TEST(keys_are_made_once)
{
	static const char *const made[][2] = {
		{ "keys/dispatcher.key", "600" }, { "keys/workers.allowed", "600" }, { "keys/api.tokens", "600" },
		{ "worker-keys/worker.key", "600" }, { "worker-keys/dispatcher.key.pub", "600" },
	};
	const char *script = yaml_text(services, "keys.command.2"), *dir = sh_scratch();
	char *first, *second;
	FILE *f;
	char path[300];

	ck_assert_str_eq(yaml_text(services, "keys.command.1"), "-euc");
	snprintf(path, sizeof path, "%s/script", dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(script, f);
	fclose(f);
	free(sh("cd '%s' && sed -i -e \"s|/keys/|$PWD/keys/|g; s|/worker-keys/|$PWD/worker-keys/|g; s|$PWD/worker$PWD/keys/|$PWD/worker-keys/|g\" "
		"script && mkdir keys worker-keys && PATH=$(dirname $SEGFARM):$PATH sh -eu script", dir));
	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		free(sh("test \"$(stat -c %%a '%s/%s')\" = %s", dir, made[i][0], made[i][1]));
	first = sh("cd '%s' && cat keys/* worker-keys/* | sha256sum", dir);
	second = sh("cd '%s' && PATH=$(dirname $SEGFARM):$PATH sh -eu script && cat keys/* worker-keys/* | sha256sum", dir);
	ck_assert_str_eq(first, second);
	free(sh("cd '%s' && cmp worker-keys/worker.key.pub keys/workers.allowed && grep -qE '^[0-9a-f]{48}$' keys/api.tokens && "
		"! ls worker-keys | grep -x dispatcher.key", dir));
	ck_assert_str_eq(conf_value(serve, "keys"), "/keys/dispatcher.key");
	ck_assert_str_eq(conf_value(serve, "allow-workers"), "/keys/workers.allowed");
	ck_assert_str_eq(conf_value(serve, "api-token-file"), "/keys/api.tokens");
	ck_assert_str_eq(conf_value(worker, "keys"), "/keys/worker.key");
	ck_assert_str_eq(conf_value(worker, "dispatcher-key"), "/keys/dispatcher.key.pub");
	free(first);
	free(second);
}
END_TEST

START_TEST(docker_compose_takes_it)
{
	if (sh_status(NULL, "docker compose version") == 0)
		free(sh("GRAFANA_PASSWORD=x docker compose -f " TOP "compose.yaml config -q"));
	else if (sh_status(NULL, "docker-compose version") == 0) /* its predecessor wants a version, and takes no name */
		free(sh("sed 's/^name: .*/version: \"3.9\"/' " TOP "compose.yaml >'%s/compose.yaml' && GRAFANA_PASSWORD=x docker-compose "
			"--project-directory " TOP " -f '%s/compose.yaml' config -q",
			sh_scratch(), sh_scratch()));
	else
		fprintf(stderr, "skipped: there is no `docker compose`\n");
}
END_TEST

Suite *suite_compose(void)
{
	Suite *s = suite_create("compose");
	TCase *tc = tcase_create("compose");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, images_are_pinned);
	tcase_add_test(tc, what_services_depend_on_is_there);
	tcase_add_test(tc, volumes_and_files_are_there);
	tcase_add_test(tc, nothing_but_the_edge_is_reached_from_elsewhere);
	tcase_add_test(tc, our_containers_may_do_as_little_as_possible);
	tcase_add_test(tc, endpoints_are_those_of_the_services);
	tcase_add_test(tc, keys_are_made_once);
	tcase_add_test(tc, docker_compose_takes_it);
	suite_add_tcase(s, tc);
	return s;
}
