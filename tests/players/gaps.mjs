/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A segment that cannot be made, of the picture or of the sound that is heard, in the players: they have to play over it to the end,
 * with a playlist that is older than the gap (what they ask for is then a segment without a sample) and with one that tells of it.
 */
import fs from "node:fs";
import path from "node:path";
import { openHarness } from "./browser.mjs";
import { Farm, until } from "./farm.mjs";
import { MEDIA } from "./titles.mjs";

const TITLE = path.join(MEDIA, "tracks-ac3.mkv"), OPTIONS = { "segment-duration": 2 };
const NUMBER = 5; /* of the segment */
const PLAYERS = [["hls.js", "hls", "master"], ["Shaka, HLS", "shaka", "master"], ["Shaka, DASH", "shaka", "mpd"]];

function faults(report, gap) {
	const list = [...report.errors];

	if (!list.length && Math.abs(report.end - report.duration) > 0.1)
		list.push(`ended at ${report.end} of ${report.duration}`);
	/* all the rest of that track was there */
	for (const [name, spans] of Object.entries(report.spans || {})) {
		const has = (at) => spans.some(([start, end]) => start <= at && at < end), isIt = name.startsWith(gap.type);

		if (has((gap.start + gap.end) / 2) === isIt || !has(gap.start - 1) || !has(gap.end + 1))
			list.push(`${name} is there at ${JSON.stringify(spans)}`);
	}
	return list;
}

async function play(browser, harness, farm, stream, gap, [name, kind, address], isTold, tell) {
	const page = await openHarness(browser, harness, true), label = `${name}, ${isTold ? "EXT-X-GAP" : "unforeseen"}`;

	try {
		const report = await page.evaluate(([k, url, o]) => check(k, url, o), [kind, farm.url(stream.urls[address]), { rate: 2, timeout_s: 60, hasGap: true }]);
		const list = faults(report, gap);

		tell(list.length ? "failed" : "ok", `a gap in ${gap.rendition}`, label, list.join("; ") || `played to the end${report.notes.length ? `; ${report.notes.join(", ")}` : ""}`);
	} catch (e) {
		tell("failed", `a gap in ${gap.rendition}`, label, e.message.split("\n")[0]);
	}
	await page.close();
}

async function swapPool(farm, env) {
	const ended = new Promise((resolve) => farm.pool.once("exit", resolve));

	farm.pool.kill("SIGTERM");
	await ended;
	farm.startPool(env);
}

async function checkRendition(browser, harness, farm, rendition, type, tell) {
	let stream = await farm.submit(TITLE, OPTIONS, true);
	const [start, end] = [NUMBER, NUMBER + 1].map((i) => Number(stream.renditions.find((r) => r.name === rendition).segments[i].name.split("-")[0]));
	const gap = { rendition, type, start: start / 90000, end: end / 90000 };

	await swapPool(farm, { SEGFARM_FAULT: `crash:${start}:${rendition}` });
	for (const player of PLAYERS) {
		await play(browser, harness, farm, stream, gap, player, false, tell);
		await until(async () => (await farm.api(`/v1/streams/${stream.key}`)).failed === 1, "the gap");
		if (player[2] === "master")
			await play(browser, harness, farm, stream, gap, player, true, tell);
		await farm.remove(stream.key);
		stream = await farm.submit(TITLE, OPTIONS, true);
	}
	await farm.remove(stream.key);
	await swapPool(farm, {});
}

export async function checkGaps(browser, harness, tell) {
	const farm = new Farm({ roots: [MEDIA] });

	if (!fs.existsSync(TITLE))
		return;
	try {
		await farm.start();
		await checkRendition(browser, harness, farm, "audio-1", "audio", tell);
		await checkRendition(browser, harness, farm, "video", "video", tell);
	} catch (e) {
		tell("failed", "a gap", "", e.message);
	} finally {
		await farm.stop();
	}
}
