/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A headless Chromium with an empty profile, and a server for the page that has the players in it.
 */
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { BUILD } from "./farm.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = path.join(BUILD, "players", "node_modules");
const FILES = {
	"/": [path.join(here, "harness.html"), "text/html"],
	"/harness.js": [path.join(here, "harness.js"), "text/javascript"],
	"/hls.js": [path.join(BUILD, "hls.min.js"), "text/javascript"],
	"/shaka.js": [path.join(modules, "shaka-player/dist/shaka-player.compiled.js"), "text/javascript"],
	"/dash.js": [path.join(modules, "dashjs/dist/modern/umd/dash.all.min.js"), "text/javascript"],
};
const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
	"--disable-sync", "--autoplay-policy=no-user-gesture-required", "--mute-audio", "--disable-dev-shm-usage",
	"--disable-background-timer-throttling", "--disable-renderer-backgrounding"];

export async function openBrowser(options = {}) {
	const profile = fs.mkdtempSync(path.join(os.tmpdir(), "segfarm-browser."));
	const context = await chromium.launchPersistentContext(profile, { executablePath: process.env.CHROMIUM || "/usr/bin/chromium", headless: true, timeout: 120000, args: ARGS, ...options });
	const close = context.close.bind(context);

	context.close = async () => {
		await close();
		fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
	};
	return context;
}

/* The harness, in a browser that has kept nothing: media segments may be kept for ever, and a removed title's are the same again. */
export async function openHarness(browser, harness, isCold) {
	const page = await browser.newPage();

	if (isCold)
		await (await page.context().newCDPSession(page)).send("Network.clearBrowserCache");
	await page.goto(harness.url);
	return page;
}

export function serveHarness() {
	return new Promise((resolve) => {
		const server = http.createServer((request, response) => {
			const [file, type] = FILES[request.url] || [];

			response.writeHead(file ? 200 : 404, { "Content-Type": type || "text/plain" });
			response.end(file ? fs.readFileSync(file) : "");
		});

		server.listen(0, "127.0.0.1", () => resolve({ url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() }));
	});
}
