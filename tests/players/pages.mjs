/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pages in a browser, used as people use them: submit, watch, see why a segment is missing, play, retry, cancel, remove; with a
 * token; with many streams and many segments; by keyboard; on a phone. Screenshots go to players/shots in the build directory.
 */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { openBrowser } from "./browser.mjs";
import { BUILD, Farm, sleep, until } from "./farm.mjs";

const DIR = path.join(BUILD, "players", "pages"), SHOTS = path.join(BUILD, "players", "shots");
const TITLE = path.join(DIR, "big buck bunny, reel 1.mkv"), HOSTILE = path.join(DIR, "<img src=x onerror=alert(1)>.mkv");
const LONG = path.join(DIR, "a whole day of radio.m4a");
const GAP = 5, TICKS = 180000; /* a segment of 2 s that the workers die of */
const WAIT = { timeout: 30000 };

function claim(is, what) {
	if (!is)
		throw new Error(what);
}

function makeMedia() {
	const run = (...args) => execFileSync("ffmpeg", ["-nostdin", "-v", "error", "-y", ...args]);

	fs.mkdirSync(DIR, { recursive: true });
	fs.rmSync(SHOTS, { recursive: true, force: true });
	fs.mkdirSync(SHOTS, { recursive: true });
	if (!fs.existsSync(TITLE))
		run("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "120", "-c:v", "libx264",
			"-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "flac", TITLE);
	fs.copyFileSync(TITLE, HOSTILE);
	if (!fs.existsSync(LONG))
		run("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=8000", "-t", "5000", "-c:a", "aac", "-b:a", "16k", LONG);
}

async function shot(page, name) {
	await sleep(300);
	await page.screenshot({ path: path.join(SHOTS, `${name}.png`) });
}

/* Every page: nothing is wider than the window, everything that can be used has a name, no error in the console. */
async function checkPage(page) {
	const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
	const client = await page.context().newCDPSession(page), { nodes } = await client.send("Accessibility.getFullAXTree");
	const roles = ["button", "link", "textbox", "searchbox", "combobox", "checkbox", "slider", "spinbutton", "image", "progressbar"];
	const nameless = nodes.filter((n) => !n.ignored && roles.includes(n.role?.value) && !n.name?.value);

	claim(wide <= 0, `the page is ${wide} px wider than the window`);
	claim(!nameless.length, `without a name: ${nameless.map((n) => n.role.value).join(", ")}`);
}

async function newPage(browser, farm) {
	const page = await browser.newPage();

	page.faults = [];
	page.on("pageerror", (e) => page.faults.push(e.message));
	page.on("console", (m) => /Content Security Policy|Uncaught/.test(m.text()) && page.faults.push(m.text()));
	page.on("dialog", (d) => {
		page.faults.push(`dialog ${d.message()}`);
		d.dismiss();
	});
	await page.goto(`${farm.base}/`);
	return page;
}

const row = (page, name) => page.locator(".stream", { hasText: name });

async function submit(page, source, { isOnDemand = false, seconds = 2 } = {}) {
	await page.fill("#source", source);
	await page.setChecked("#on-demand", isOnDemand);
	if (!(await page.locator("#o-segment-duration").isVisible()))
		await page.click("summary");
	await page.fill("#o-segment-duration", String(seconds));
	await page.click("#submit button");
}

/* ---- what is claimed */

const claims = {
	async "a title is submitted, its progress and a segment's reason are seen"({ browser, farm }) {
		const page = await newPage(browser, farm);

		await page.waitForSelector(".link.on", WAIT);
		await submit(page, TITLE);
		await row(page, "bunny").locator(".badge.partial").waitFor(WAIT);
		await row(page, "bunny").locator(".toggle").click();
		const reason = row(page, "bunny").locator(".gaps li").first();

		await reason.waitFor(WAIT);
		claim(/Segment 6, 0:10 to 0:12: given up after \d attempts: .*signal 11/.test(await reason.textContent()), `the reason is: ${await reason.textContent()}`);
		await page.locator("canvas.map").hover({ position: { x: 16 * GAP + 5, y: 5 } });
		claim(/given up/.test(await page.locator(".tip:visible").textContent()), "no tooltip tells of the gap");
		await checkPage(page);
		await shot(page, "desktop");
		return page;
	},

	async "the map is read by keys"({ page }) {
		const map = page.locator("canvas.map"), text = () => map.getAttribute("aria-valuetext");

		await map.focus();
		await page.keyboard.press("End");
		claim(/^Segment 60, /.test(await text()), `End leads to ${await text()}`);
		await page.keyboard.press("Home");
		for (let i = 0; i < GAP; i++)
			await page.keyboard.press("ArrowRight");
		claim(/^Segment 6, .*given up/s.test(await text()), `five to the right is ${await text()}`);
	},

	async "a path outside the roots is refused with a sentence"({ page }) {
		await submit(page, "/etc/passwd");
		await until(async () => /media-root|root/i.test(await page.locator("#submit-error").textContent()), "the sentence");
	},

	async "names are text, whatever they look like"({ page }) {
		await submit(page, HOSTILE, { isOnDemand: true });
		await row(page, "onerror").waitFor(WAIT);
		claim(await page.locator(".streams img").count() === 0, "a name has become an element");
	},

	async "a stream is cancelled, retried and removed"({ page, farm }) {
		const one = row(page, "onerror");

		await one.locator("button", { hasText: "Cancel" }).click();
		await one.locator(".badge.cancelled").waitFor(WAIT);
		await one.locator("button", { hasText: "Retry" }).click();
		await one.locator(".badge.making, .badge.probing").waitFor(WAIT);
		await one.locator("button", { hasText: "Remove" }).click();
		await one.locator("button", { hasText: "Sure?" }).click();
		await one.waitFor({ state: "detached", ...WAIT });
		claim(!(await farm.api("/v1/streams")).streams.some((s) => s.source === HOSTILE), "it is there still");
	},

	async "what was given up is made by a retry, and that is seen"({ page, farm }) {
		farm.pool.kill("SIGTERM");
		farm.startPool({});
		await row(page, "bunny").locator("button", { hasText: "Retry" }).click();
		await row(page, "bunny").locator(".badge.complete").waitFor(WAIT);
		await page.locator(".gaps li").first().waitFor({ state: "detached", ...WAIT });
	},

	async "the player plays by hls.js and by the browser"({ page }) {
		await row(page, "bunny").locator("a", { hasText: "Play" }).click();
		for (const engine of ["hls", "native"]) {
			await page.evaluate((e) => {
				location.hash = `engine=${e}&t=100`;
				location.reload();
			}, engine);
			await page.waitForFunction(() => document.querySelector("#video").currentTime > 101, null, WAIT);
			await page.waitForFunction((text) => document.querySelector("#stats").textContent.includes(text), engine === "hls" ? "hls.js" : "own HLS", WAIT);
			claim(await page.locator("#trouble").isHidden(), await page.locator("#trouble").textContent());
			await checkPage(page);
			if (engine === "hls")
				await shot(page, "player");
		}
	},

	async "without hls.js the browser plays, or the page says what is missing"({ page }) {
		await page.route("**/hls.min.js", (route) => route.fulfill({ status: 404, body: "" }));
		await page.reload();
		await page.waitForFunction(() => document.querySelector("#video").currentTime > 101, null, WAIT);
		claim(/hls.js is not installed/.test(await page.locator("#notes").textContent()), "the page does not tell that hls.js is missing");
		await page.addInitScript(() => HTMLMediaElement.prototype.canPlayType = () => "");
		await page.reload();
		await until(async () => /hls.js, which would, is not installed/.test(await page.locator("#trouble").textContent()), "the sentence");
		await page.unroute("**/hls.min.js");
	},

	async "the player says what is wrong"({ page, farm }) {
		await page.goto(`${farm.base}/player/0123456789abcdef`);
		await until(async () => /no such stream/.test(await page.locator("#trouble").textContent()), "the sentence");
	},

	async "1,000 streams and 10,000 segments are no burden"({ page, farm }) {
		let oldest;

		for (let i = 0; i < 1000; i += 20) {
			const some = await Promise.all(Array.from({ length: 20 }, (_, k) => farm.api("/v1/streams", "POST", { source: TITLE, on_demand: true, options: { crf: 1 + (i + k) / 100 } })));

			oldest ||= some[0].key;
		}
		const { key } = await farm.submit(LONG, { "segment-duration": 0.5 }, true);

		await page.goto(`${farm.base}/#${key}`);
		await page.waitForSelector("canvas.map", WAIT);
		await page.waitForFunction(() => Number(document.querySelector("#n-streams").textContent.replace(",", "")) >= 1000, null, WAIT);
		const ms = await page.evaluate(() => new Promise((resolve) => {
			const begin = performance.now(), map = document.querySelector("canvas.map");

			map.focus();
			requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - begin)));
		}));

		claim(await page.locator("canvas.map").getAttribute("aria-valuemax") === "10000", "the map has not 10,000 segments");
		await shot(page, "many");
		/* behind hundreds of younger ones: the one that the address names is there all the same */
		await page.goto(`${farm.base}/#${oldest}`);
		await page.reload();
		await page.waitForSelector(`#details-${oldest} canvas.map`, WAIT);
		return `two frames with them take ${Math.round(ms)} ms`;
	},
};

/* A theme, or another size of the window. */
async function look(farm, name, options, isPlayer) {
	const browser = await openBrowser(options), page = await newPage(browser, farm);

	try {
		await page.waitForSelector(".link.on", WAIT);
		await row(page, "bunny").first().waitFor(WAIT);
		await sleep(500);
		if (await page.locator("canvas.map").count() === 0) /* the only stream there is is open already */
			await row(page, "bunny").first().locator(".toggle").click();
		await page.waitForSelector("canvas.map", WAIT);
		await checkPage(page);
		await shot(page, name);
		if (isPlayer) {
			await page.goto(`${farm.base}${await row(page, "bunny").first().locator("a", { hasText: "Play" }).getAttribute("href")}`);
			await page.waitForFunction(() => document.querySelector("#video").currentTime > 1, null, WAIT);
			await checkPage(page);
			await shot(page, `${name}-player`);
		}
		claim(!page.faults.length, page.faults.join("; "));
	} finally {
		await browser.close();
	}
}

/* Who was given the player's address needs no token: it is signed. */
async function checkSigned(farm) {
	const { urls } = await farm.submit(TITLE), browser = await openBrowser(), page = await browser.newPage();

	try {
		await page.goto(farm.url(urls.player));
		await page.waitForFunction(() => document.querySelector("#video").currentTime > 0.5, null, WAIT);
		claim(await page.locator("dialog").count() === 0, "a viewer is asked for a token");
		await page.goto(farm.url(urls.player.replace(/s=.../, "s=xyz")));
		await until(async () => /not signed/.test(await page.locator("#trouble").textContent()), "the sentence");
	} finally {
		await browser.close();
	}
}

async function checkToken() {
	const token = path.join(DIR, "tokens"), keys = path.join(DIR, "url-keys");
	const farm = new Farm({ roots: [DIR], workers: 1, serve: ["--api-token-file", token, "--url-key-file", keys], token: "right-token-0123456789" });

	fs.writeFileSync(token, "right-token-0123456789\n", { mode: 0o600 });
	fs.writeFileSync(keys, `${"0123456789abcdef".repeat(4)}\n`, { mode: 0o600 });
	const browser = await openBrowser();

	try {
		await farm.start();
		const page = await newPage(browser, farm);

		await page.waitForSelector("dialog[open]", WAIT);
		await page.fill("#token", "wrong");
		await page.click("dialog button");
		await page.waitForSelector("dialog[open] p:has-text('not accepted')", WAIT);
		await shot(page, "token");
		await page.fill("#token", "right-token-0123456789");
		await page.click("dialog button");
		await page.waitForSelector(".link.on", WAIT);
		await checkSigned(farm);
	} finally {
		await browser.close();
		await farm.stop();
	}
}

async function attempt(tell, what, run) {
	try {
		const result = await run();

		tell("ok", "pages", "", `${what}${typeof result === "string" ? `: ${result}` : ""}`);
		return result;
	} catch (e) {
		tell("failed", "pages", "", `${what}: ${e.message.split("\n").slice(0, 3).join(" ")}`);
		return null;
	}
}

export async function checkPages(tell, isQuick) {
	const chosen = Object.entries(claims).filter(([what]) => !isQuick || !what.startsWith("1,000"));

	makeMedia();
	const farm = new Farm({ roots: [DIR], env: { SEGFARM_FAULT: `crash:${GAP * TICKS}` } });
	const browser = await openBrowser({ viewport: { width: 1280, height: 860 } });
	let page = null;

	try {
		await farm.start();
		for (const [what, run] of chosen) {
			const result = await attempt(tell, what, () => run({ browser, farm, page }));

			page ||= result;
			if (result === null)
				await shot(browser.pages().pop(), "failed");
			if (!page)
				return;
		}
		await attempt(tell, "nothing was wrong in the console", async () => claim(!page.faults.length, page.faults.join("; ")));
		await attempt(tell, "a phone, light", () => look(farm, "phone", { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 }, true));
		if (!isQuick)
			await attempt(tell, "a desktop, dark", () => look(farm, "dark", { viewport: { width: 1280, height: 860 }, colorScheme: "dark" }, true));
		await attempt(tell, "a token is asked for, once more if it is wrong; a signed player needs none", checkToken);
	} finally {
		await browser.close();
		await farm.stop();
	}
}
