/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The manifests for Kubernetes: what they name exists, and fits what the programs are told. Their schemas are checked by
 * `make check-deploy`.
 */
#include "tests/deploy/conf.h"
#include "tests/deploy/yaml.h"
#include "tests/suites.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOP "deploy/kubernetes/"

static json_t *base, *overlay;  /* kustomization.yaml */
static json_t *objects;         /* of both, and of components */
static char serve[CONF_TEXT_MAX], worker[CONF_TEXT_MAX];

/* Adds what kustomization.yaml of a directory names, and what those name that it names. */
static json_t *add(const char *dir)
{
	static const char *const lists[] = { "resources", "components" };
	char path[512];
	json_t *documents, *kustomization, *name;
	size_t i;

	snprintf(path, sizeof path, "%s/kustomization.yaml", dir);
	documents = yaml_read(path);
	kustomization = json_incref(json_array_get(documents, 0));
	json_decref(documents);
	for (size_t k = 0; k < 2; k++)
		json_array_foreach(json_object_get(kustomization, lists[k]), i, name) {
			ck_assert_int_lt(snprintf(path, sizeof path, "%s/%s", dir, json_string_value(name)), (int)sizeof path);
			if (strstr(path, ".yaml")) {
				documents = yaml_read(path);
				json_array_extend(objects, documents);
				json_decref(documents);
			} else if (strstr(path, "/base")) {
				base = add(path);
			} else {
				json_decref(add(path));
			}
		}
	return kustomization;
}

static void set_up(void)
{
	objects = json_array();
	overlay = add(TOP "overlays/example");
	conf_read(TOP "base/segfarm.conf", false, serve);
	conf_read(TOP "base/segfarm.conf", true, worker);
}

static void tear_down(void)
{
	json_decref(objects);
	json_decref(overlay);
	json_decref(base);
}

#define kind_of(object) yaml_text(object, "kind")
#define name_of(object) yaml_text(object, "metadata.name")

static json_t *find(const char *kind, const char *name)
{
	json_t *object;
	size_t i;

	json_array_foreach(objects, i, object)
		if (!strcmp(kind_of(object), kind) && !strcmp(name_of(object), name))
			return object;
	return NULL;
}

/* Those that run pods. */
static bool is_workload(const json_t *object)
{
	return !strcmp(kind_of(object), "Deployment") || !strcmp(kind_of(object), "StatefulSet");
}

/* The workload whose pods have these labels; NULL: none has. */
static json_t *find_pods(const json_t *labels)
{
	json_t *object, *value;
	const char *key;
	size_t i;

	json_array_foreach(objects, i, object) {
		bool is_match = is_workload(object) && json_object_size(labels);

		json_object_foreach((json_t *)(uintptr_t)labels, key, value)
			is_match = is_match && json_equal(json_object_get(yaml_at(object, "spec.template.metadata.labels"), key), value);
		if (is_match)
			return object;
	}
	return NULL;
}

static bool has_port(const json_t *workload, const char *name)
{
	json_t *container, *port;
	size_t i, k;

	json_array_foreach(yaml_at(workload, "spec.template.spec.containers"), i, container)
		json_array_foreach(json_object_get(container, "ports"), k, port)
			if (!strcmp(yaml_text(port, "name"), name))
				return true;
	return false;
}

START_TEST(each_object_is_there_once_and_says_what_it_is)
{
	json_t *object, *other;
	size_t i, k;

	ck_assert_uint_gt(json_array_size(objects), 10);
	json_array_foreach(objects, i, object) {
		ck_assert_msg(*kind_of(object) && *name_of(object) && *yaml_text(object, "apiVersion"), "object %zu is nameless", i);
		json_array_foreach(objects, k, other)
			ck_assert_msg(i == k || strcmp(kind_of(object), kind_of(other)) || strcmp(name_of(object), name_of(other)), "two %s %s",
				      kind_of(object), name_of(object));
	}
}
END_TEST

START_TEST(selectors_find_pods)
{
	json_t *object;
	size_t i;

	json_array_foreach(objects, i, object) {
		const char *kind = kind_of(object);

		if (is_workload(object))
			ck_assert_msg(find_pods(yaml_at(object, "spec.selector.matchLabels")) == object, "%s selects others", name_of(object));
		if (!strcmp(kind, "Service"))
			ck_assert_msg(find_pods(yaml_at(object, "spec.selector")), "Service %s finds nothing", name_of(object));
		if (!strcmp(kind, "PodDisruptionBudget"))
			ck_assert_msg(find_pods(yaml_at(object, "spec.selector.matchLabels")), "budget %s finds nothing", name_of(object));
		if (!strcmp(kind, "NetworkPolicy"))
			ck_assert_msg(find_pods(yaml_at(object, "spec.podSelector.matchLabels")), "policy %s finds nothing", name_of(object));
		if (!strcmp(kind, "StatefulSet"))
			ck_assert_msg(find("Service", yaml_text(object, "spec.serviceName")), "%s has no service", name_of(object));
		if (!strcmp(kind, "ScaledObject"))
			ck_assert_msg(find("Deployment", yaml_text(object, "spec.scaleTargetRef.name")), "%s scales nothing", name_of(object));
	}
}
END_TEST

static void check_rules(const json_t *policy, const char *list, const json_t *own)
{
	json_t *rule, *port, *peer;
	size_t i, k;

	json_array_foreach(yaml_at(policy, list), i, rule) {
		const json_t *target = own;

		json_array_foreach(json_object_get(rule, own ? "from" : "to"), k, peer)
			if (yaml_at(peer, "podSelector.matchLabels") && !json_object_get(peer, "namespaceSelector")) {
				json_t *pods = find_pods(yaml_at(peer, "podSelector.matchLabels"));

				ck_assert_msg(pods, "%s: nobody is meant", name_of(policy));
				target = own ? own : pods;
			}
		json_array_foreach(json_object_get(rule, "ports"), k, port)
			ck_assert_msg(atoi(yaml_text(port, "port")) || (target && has_port(target, yaml_text(port, "port"))),
				      "%s: there is no port %s", name_of(policy), yaml_text(port, "port"));
	}
}

START_TEST(ports_are_those_of_the_containers_and_of_the_configuration)
{
	json_t *object, *port;
	size_t i, k;
	char endpoint[64];

	json_array_foreach(objects, i, object) {
		if (!strcmp(kind_of(object), "Service"))
			json_array_foreach(yaml_at(object, "spec.ports"), k, port)
				ck_assert_msg(has_port(find_pods(yaml_at(object, "spec.selector")), yaml_text(port, "targetPort")),
					      "Service %s: no port %s", name_of(object), yaml_text(port, "targetPort"));
		if (!strcmp(kind_of(object), "NetworkPolicy")) {
			check_rules(object, "spec.ingress", find_pods(yaml_at(object, "spec.podSelector.matchLabels")));
			check_rules(object, "spec.egress", NULL);
		}
	}
	object = find("Deployment", "segfarm-dispatcher");
	snprintf(endpoint, sizeof endpoint, "0.0.0.0:%s", yaml_text(object, "spec.template.spec.containers.0.ports.0.containerPort"));
	ck_assert_str_eq(conf_value(serve, "listen"), endpoint);
	snprintf(endpoint, sizeof endpoint, "tcp://0.0.0.0:%s", yaml_text(object, "spec.template.spec.containers.0.ports.1.containerPort"));
	ck_assert_str_eq(conf_value(serve, "bind"), endpoint);
	ck_assert_str_eq(yaml_text(object, "spec.template.spec.containers.0.livenessProbe.httpGet.path"), "/healthz");
	ck_assert_str_eq(yaml_text(object, "spec.template.spec.containers.0.readinessProbe.httpGet.path"), "/readyz");
}
END_TEST

/* Where each dispatcher writes the address of its pod. */
START_TEST(workers_find_every_dispatcher_in_redis)
{
	const json_t *env = yaml_at(find("Deployment", "segfarm-dispatcher"), "spec.template.spec.containers.0.env");
	char endpoint[64];

	ck_assert_str_eq(conf_value(worker, "connect"), "redis");
	ck_assert_str_eq(yaml_text(env, "0.name"), "POD_IP");
	ck_assert_str_eq(yaml_text(env, "0.valueFrom.fieldRef.fieldPath"), "status.podIP");
	ck_assert_str_eq(yaml_text(env, "1.name"), "SEGFARM_ADVERTISE");
	ck_assert(conf_is_variable("SEGFARM_ADVERTISE"));
	snprintf(endpoint, sizeof endpoint, "tcp://$(POD_IP)%s", strrchr(conf_value(serve, "bind"), ':'));
	ck_assert_str_eq(yaml_text(env, "1.value"), endpoint);
	ck_assert_str_eq(conf_value(worker, "redis"), "redis://segfarm-redis:6379");
	ck_assert_str_eq(conf_value(serve, "redis"), "redis://segfarm-redis:6379");
	ck_assert_ptr_nonnull(find("Service", "segfarm-redis"));
}
END_TEST

static bool is_generated(const json_t *kustomization, const char *generator, const char *name, const char *file)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(kustomization, generator), i, one)
		if (!strcmp(yaml_text(one, "name"), name) && (!file || yaml_has(json_object_get(one, "files"), file)))
			return true;
	return false;
}

static bool is_volume(const json_t *workload, const char *name)
{
	json_t *volume;
	size_t i;

	json_array_foreach(yaml_at(workload, "spec.template.spec.volumes"), i, volume)
		if (!strcmp(yaml_text(volume, "name"), name))
			return true;
	json_array_foreach(yaml_at(workload, "spec.volumeClaimTemplates"), i, volume)
		if (!strcmp(name_of(volume), name))
			return true;
	return false;
}

static void check_volumes(const json_t *workload)
{
	json_t *volume, *container, *mount;
	size_t i, k;

	json_array_foreach(yaml_at(workload, "spec.template.spec.volumes"), i, volume) {
		const char *map = yaml_text(volume, "configMap.name"), *secret = yaml_text(volume, "secret.secretName"),
			   *claim = yaml_text(volume, "persistentVolumeClaim.claimName");

		ck_assert_msg(!*map || is_generated(base, "configMapGenerator", map, NULL), "nothing makes ConfigMap %s", map);
		ck_assert_msg(!*secret || is_generated(overlay, "secretGenerator", secret, NULL), "nothing makes Secret %s", secret);
		ck_assert_msg(!*claim || find("PersistentVolumeClaim", claim), "there is no claim %s", claim);
	}
	for (int n = 0; n < 2; n++)
		json_array_foreach(yaml_at(workload, n ? "spec.template.spec.initContainers" : "spec.template.spec.containers"), i, container)
			json_array_foreach(json_object_get(container, "volumeMounts"), k, mount)
				ck_assert_msg(is_volume(workload, yaml_text(mount, "name")), "%s has no volume %s", name_of(workload),
					      yaml_text(mount, "name"));
}

START_TEST(volumes_secrets_and_files_are_there)
{
	static const char *const files[][3] = {
		{ "serve", "keys", "segfarm-dispatcher" },		 { "serve", "allow-workers", "segfarm-dispatcher" },
		{ "serve", "api-token-file", "segfarm-dispatcher" }, { "worker", "keys", "segfarm-worker" },
		{ "worker", "dispatcher-key", "segfarm-worker" },
	};
	json_t *object, *one, *file;
	size_t i, k;
	char path[300];

	json_array_foreach(objects, i, object)
		if (is_workload(object))
			check_volumes(object);
	for (i = 0; i < sizeof files / sizeof *files; i++) {
		const char *value = conf_value(*files[i][0] == 's' ? serve : worker, files[i][1]);

		ck_assert_msg(!strncmp(value, "/keys/", 6) && is_generated(overlay, "secretGenerator", files[i][2], value + 6), "%s is not in %s",
			      value, files[i][2]);
	}
	json_array_foreach(json_object_get(base, "configMapGenerator"), i, one)
		json_array_foreach(json_object_get(one, "files"), k, file) {
			snprintf(path, sizeof path, TOP "base/%s", json_string_value(file));
			ck_assert_msg(!access(path, R_OK), "%s is not there", path);
		}
}
END_TEST

/* Pod Security Standards, restricted; and no place to write but volumes. */
static void check_container(const json_t *workload, const json_t *container)
{
	const char *image = yaml_text(container, "image"), *name = name_of(workload);

	ck_assert_msg(!strcmp(yaml_text(container, "securityContext.allowPrivilegeEscalation"), "false"), "%s may gain privileges", name);
	ck_assert_msg(!strcmp(yaml_text(container, "securityContext.readOnlyRootFilesystem"), "true"), "%s may write", name);
	ck_assert_msg(yaml_has(yaml_at(container, "securityContext.capabilities.drop"), "ALL"), "%s has capabilities", name);
	ck_assert_msg(*yaml_text(container, "resources.requests.memory") && *yaml_text(container, "resources.limits.memory"),
		      "%s says nothing of its memory", name);
	ck_assert_msg(!strcmp(image, "segfarm") || (strchr(image, ':') && !strstr(image, ":latest")), "%s: which %s?", name, image);
}

START_TEST(pods_may_do_as_little_as_possible)
{
	json_t *object, *container;
	size_t i, k;

	json_array_foreach(objects, i, object) {
		const json_t *pod = yaml_at(object, "spec.template.spec");

		if (!is_workload(object))
			continue;
		ck_assert_str_eq(yaml_text(pod, "securityContext.runAsNonRoot"), "true");
		ck_assert_str_eq(yaml_text(pod, "securityContext.seccompProfile.type"), "RuntimeDefault");
		ck_assert_str_eq(yaml_text(pod, "automountServiceAccountToken"), "false");
		for (int n = 0; n < 2; n++)
			json_array_foreach(json_object_get(pod, n ? "initContainers" : "containers"), k, container)
				check_container(object, container);
	}
}
END_TEST

START_TEST(pods_get_longer_than_draining_takes)
{
	ck_assert_int_gt(atoi(yaml_text(find("Deployment", "segfarm-dispatcher"), "spec.template.spec.terminationGracePeriodSeconds")),
			 atoi(conf_value(serve, "drain-timeout")));
	ck_assert_int_gt(atoi(yaml_text(find("Deployment", "segfarm-worker"), "spec.template.spec.terminationGracePeriodSeconds")),
			 atoi(conf_value(worker, "drain-timeout")));
	ck_assert_int_gt(atoi(conf_value(worker, "drain-timeout")), 0);
	ck_assert_str_eq(conf_value(worker, "workers"), yaml_text(find("Deployment", "segfarm-worker"),
								  "spec.template.spec.containers.0.resources.requests.cpu"));
}
END_TEST

START_TEST(the_image_is_of_this_version)
{
	ck_assert_str_eq(yaml_text(base, "images.0.newTag"), SEGFARM_VERSION);
	ck_assert_str_eq(yaml_text(overlay, "images.0.newTag"), SEGFARM_VERSION);
}
END_TEST

/* As many characters of a word as a metric's name has. */
static size_t metric_size(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyz_0123456789");
}

START_TEST(workers_are_scaled_by_metrics_that_exist)
{
	const char *query = yaml_text(find("ScaledObject", "segfarm-worker"), "spec.triggers.0.metadata.query"), *at = query;
	FILE *f = fopen("README.md", "r"); /* which is checked against /metrics */
	static char readme[1 << 20];
	char name[100];
	int n = 0;

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_gt(fread(readme, 1, sizeof readme - 1, f), 0);
	fclose(f);
	for (; (at = strstr(at, "segfarm_")); at += metric_size(at), n++) {
		snprintf(name, sizeof name, "`%.*s`", (int)metric_size(at), at);
		ck_assert_msg(strstr(readme, name), "there is no %s", name);
	}
	ck_assert_int_gt(n, 0);
}
END_TEST

Suite *suite_kubernetes(void)
{
	Suite *s = suite_create("kubernetes");
	TCase *tc = tcase_create("kubernetes");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, each_object_is_there_once_and_says_what_it_is);
	tcase_add_test(tc, selectors_find_pods);
	tcase_add_test(tc, ports_are_those_of_the_containers_and_of_the_configuration);
	tcase_add_test(tc, workers_find_every_dispatcher_in_redis);
	tcase_add_test(tc, volumes_secrets_and_files_are_there);
	tcase_add_test(tc, pods_may_do_as_little_as_possible);
	tcase_add_test(tc, pods_get_longer_than_draining_takes);
	tcase_add_test(tc, the_image_is_of_this_version);
	tcase_add_test(tc, workers_are_scaled_by_metrics_that_exist);
	suite_add_tcase(s, tc);
	return s;
}
