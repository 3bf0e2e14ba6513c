/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A farm for the tests: a private Redis, `segfarm serve` and a pool, in a directory of its own. All end with stop().
 */
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

export const BUILD = process.env.BUILD;
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(isSo, what, ms = 60000) {
	for (const end = Date.now() + ms; ; await sleep(50)) {
		const is = await isSo();

		if (is)
			return is;
		if (Date.now() > end)
			throw new Error(`waited ${ms / 1000} s for ${what}`);
	}
}

/* Whoever is interrupted leaves nothing behind. */
const running = new Set();

process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"])
	process.on(signal, () => process.exit(1));

export class Farm {
	/* roots: what sources may be; serve: more options of it; env: of the pool */
	constructor({ roots, workers = 2, serve = [], env = {}, token = "" }) {
		this.dir = fs.mkdtempSync(path.join(os.tmpdir(), "segfarm-players."));
		this.roots = roots.flatMap((root) => ["--media-root", root]);
		this.options = { workers, serve, env };
		this.token = token;
		this.children = [];
	}

	run(name, program, args, env = {}) {
		const log = fs.openSync(path.join(this.dir, `${name}.log`), "a");
		const child = spawn(program, args, { stdio: ["ignore", log, log], env: { ...process.env, ...env } });

		fs.closeSync(log);
		this.children.push(child);
		running.add(child);
		child.once("exit", () => running.delete(child));
		return child;
	}

	log(name) {
		return fs.readFileSync(path.join(this.dir, `${name}.log`), "utf8");
	}

	startPool(env) {
		this.pool = this.run("pool", path.join(BUILD, "segfarm-worker"),
			["-j", String(this.options.workers), ...this.roots, "--redis", this.redis, "--connect", this.bus], env);
	}

	async start() {
		this.redis = `unix://${this.dir}/redis.sock`;
		this.bus = `ipc://${this.dir}/bus.sock`;
		this.run("redis", "redis-server", ["--port", "0", "--unixsocket", `${this.dir}/redis.sock`, "--save", "", "--appendonly", "no", "--dir", this.dir]);
		await until(() => fs.existsSync(`${this.dir}/redis.sock`), "Redis");
		const serve = this.run("serve", path.join(BUILD, "segfarm"),
			["serve", "--redis", this.redis, "--bind", this.bus, "--listen", "127.0.0.1:0", ...this.roots, ...this.options.serve]);
		this.base = await until(() => {
			if (serve.exitCode !== null)
				throw new Error(`segfarm serve has ended: ${this.log("serve")}`);
			return /serving \d+ streams on (http:\/\/[^ ,]+)/.exec(this.log("serve"))?.[1];
		}, "segfarm serve");
		if (this.options.workers)
			this.startPool(this.options.env);
		return this;
	}

	async stop() {
		for (const child of this.children.reverse()) {
			if (child.exitCode === null && child.signalCode === null) {
				const ended = new Promise((resolve) => child.once("exit", resolve));

				child.kill("SIGTERM");
				await Promise.race([ended, sleep(5000).then(() => child.kill("SIGKILL"))]);
			}
		}
		fs.rmSync(this.dir, { recursive: true, force: true });
	}

	async api(what, method = "GET", body) {
		const headers = { ...(body ? { "Content-Type": "application/json" } : {}), ...(this.token ? { Authorization: `Bearer ${this.token}` } : {}) };
		const response = await fetch(this.base + what, { method, headers, body: body && JSON.stringify(body) });
		const text = await response.text();

		if (!response.ok)
			throw new Error(`${method} ${what}: ${response.status} ${text}`);
		return text ? JSON.parse(text) : null;
	}

	/* A stream with its plan. */
	async submit(source, options = {}, isOnDemand = false) {
		const { key } = await this.api("/v1/streams", "POST", { source, options, on_demand: isOnDemand });

		return until(async () => {
			const stream = await this.api(`/v1/streams/${key}`);

			if (stream.state === "failed")
				throw new Error(`${source}: ${stream.error}`);
			return stream.segments && stream;
		}, `the plan of ${source}`);
	}

	remove(key) {
		return this.api(`/v1/streams/${key}`, "DELETE");
	}

	url(what) {
		return what.startsWith("http") ? what : this.base + what;
	}
}
