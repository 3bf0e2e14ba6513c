// SPDX-License-Identifier: GPL-2.0-or-later
// Are the manifests what Kubernetes' own schemas want? schema.mjs FILE...: a line for each thing that is wrong. Values are checked by the
// schemas, names of fields by the types made of them. What only kustomize reads (kustomization.yaml) is not among them.
import { readFileSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { parseAllDocuments } from "yaml";

const module = (api, kind) =>
	api.startsWith("keda.sh/") ? `@kubernetes-models/keda/${api}/${kind}` : `kubernetes-models/${api}/${kind}`;
const typed = [];
let wrong = 0;

async function check(document, file) {
	const object = document.toJS();
	const say = (text) => {
		console.log(`${file}: ${object?.kind} ${object?.metadata?.name}: ${text}`);
		wrong++;
	};
	if (document.errors.length)
		return say(document.errors.join("; "));
	const models = await import(module(object.apiVersion, object.kind)).catch(() => undefined);
	if (!models)
		return say(`there is no such thing in ${object.apiVersion}`);
	try {
		new models[object.kind](object).validate();
	} catch (error) {
		say(error.message);
	}
	typed.push(`// ${file}: ${object.kind} ${object.metadata.name}
import type { I${object.kind} as Type${typed.length} } from "${module(object.apiVersion, object.kind)}";
export const object${typed.length}: Type${typed.length} = ${JSON.stringify(object, null, 1)};
`);
}

for (const file of process.argv.slice(2))
	for (const document of parseAllDocuments(readFileSync(file, "utf8"), { merge: true, uniqueKeys: true }))
		await check(document, file);
writeFileSync("objects.ts", typed.join(""));
const types = spawnSync("node_modules/.bin/tsc", ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "objects.ts"]);
if (types.status) {
	console.log(`${types.stdout}${types.stderr}(lines of objects.ts)`);
	wrong++;
}
console.log(`schemas: ${typed.length} objects, ${wrong} wrong`);
process.exit(wrong || !typed.length ? 1 : 0);
