/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Plays every title with every player: cold (nothing is made before it is asked for) with a seek to where nothing is made yet, and
 * warm. A line for each; exit status 1 when one failed.
 */
import path from "node:path";
import { openBrowser, openHarness, serveHarness } from "./browser.mjs";
import { Farm } from "./farm.mjs";
import { checkFiles } from "./files.mjs";
import { checkGaps } from "./gaps.mjs";
import { checkPages } from "./pages.mjs";
import { checkPlaylists } from "./playlists.mjs";
import { programs } from "./programs.mjs";
import { MEDIA, makeTitles, realTitles } from "./titles.mjs";

const isQuick = process.env.PLAYERS_QUICK === "1", only = process.env.PLAYERS_ONLY || "";
const isAll = process.env.PLAYERS_ALL === "1";
const OPTIONS = { "segment-duration": 2 }, SKIM = 20; /* s: of titles over twice as long the beginning and the end are played */
const PLAYERS = [["hls.js", "hls", "master"], ["native <video>", "native", "master"], ["Shaka, HLS", "shaka", "master"], ["Shaka, DASH", "shaka", "mpd"], ["dash.js", "dash", "mpd"]];
const counts = { ok: 0, failed: 0, skipped: 0 };

let since = performance.now();

function tell(result, title, player, text) {
	const s = (performance.now() - since) / 1000;

	since = performance.now();
	counts[result]++;
	console.log(`${result.padEnd(8)} ${title.padEnd(40)} ${player.padEnd(24)} ${text} [${s.toFixed(1)} s]`);
}

function isWanted(title, player) {
	return `${title.name} ${player}`.includes(only);
}

/* What is wrong with what a player in the browser has seen. */
function faults(report, title, stream, jobMs) {
	const list = [...report.errors];

	if (list.length)
		return list;
	const [first, last] = report.ranges.slice(-1)[0] || [];
	/* sound in the same segments may go on behind the last picture, for which it is not told; the browser's own player does not say up to where */
	const end = Math.max(report.duration, report.last), slack = title.isReal && report.kind === "native" ? Math.max(0.7, Math.abs(title.seconds - stream.duration) + 0.1) : 0.1;

	if (report.ranges.length !== 1 && !report.from && !report.isSkimmed)
		list.push(`buffered in ${report.ranges.length} pieces: ${JSON.stringify(report.ranges)}`);
	else if (!report.isSkimmed && !(first <= (report.from || 0.05)) || Math.abs(last - end) > slack)
		list.push(`buffered ${first} to ${last} of ${end}`);
	if (report.duration < stream.duration - 0.1 || report.duration > end + 0.1 || Math.abs(report.end - end) > slack)
		list.push(`lasts ${report.duration}, ended at ${report.end}; the stream lasts ${stream.duration}, its tracks ${report.last}`);
	list.push(...report.borders.slice(0, 3));
	/* the first picture may come some milliseconds after the first sound */
	list.push(...report.jumped.filter((jump) => jump.to > 0.05).map((jump) => `a gap was jumped: ${JSON.stringify(jump)}`));
	if (report.corrupted)
		list.push(`${report.corrupted} pictures corrupted`);
	if (!title.isAudio && !report.decoded.frames && !report.decoded.audio)
		list.push("nothing was decoded");
	if (report.seek_ms > 5 * jobMs + 3000)
		list.push(`a seek into a cold part took ${report.seek_ms} ms; a segment job ${jobMs} ms`);
	/* what Chromium itself plays has no tracks to choose from */
	if (report.subtitles && report.kind !== "native" && (report.audio.length !== title.audios || (report.switched || 0) < title.audios - 1 || !title.isAudio && (!report.subtitles.length || !report.cue && report.kind !== "shaka")))
		list.push(`audio ${JSON.stringify(report.audio)}, subtitles ${JSON.stringify(report.subtitles)}, cue ${report.cue}`);
	return list;
}

function describe(report) {
	const parts = [`${report.duration?.toFixed(2)} s`, `starts after ${report.start_ms} ms`];

	if (report.seek_ms !== undefined)
		parts.push(`cold seek ${report.seek_ms} ms`);
	if (report.subtitles && report.audio)
		parts.push(`audio ${report.audio.join(", ") || "not offered"}; subtitles ${report.subtitles.join(", ") || "not offered"}${report.cue ? `: “${report.cue}”` : ""}`);
	if (report.decoded?.frames)
		parts.push(`${report.decoded.frames} frames`);
	return parts.join(", ");
}

/* How long one cold segment takes, from the request to its last byte: the last one, made for nobody else. */
async function measureJob(farm, stream) {
	const begin = performance.now(), detail = await farm.api(`/v1/streams/${stream.key}`);
	const rendition = detail.renditions[0], segment = rendition.segments[rendition.segments.length - 1];
	const response = await fetch(new URL(`${rendition.name}/${segment.name}`, farm.url(stream.urls.master)));

	if (!response.ok)
		throw new Error(`a cold segment: ${response.status}`);
	await response.arrayBuffer();
	return Math.round(performance.now() - begin);
}

async function play(browser, harness, farm, title, stream, jobMs, [name, kind, address], isCold) {
	const page = await openHarness(browser, harness, isCold), label = `${name}, ${isCold ? "cold" : "warm"}`;

	try {
		const run = (options) => page.evaluate(([k, url, o]) => check(k, url, o), [kind, farm.url(stream.urls[address]), { timeout_s: 60, skim: SKIM, ...options }]);
		const report = await run({ rate: 8, seekTo: isCold ? 0.7 : 0, tracks: title.audios && !isCold });
		let list = [...faults(report, title, stream, jobMs), ...report.stalls], note = "";

		if (list.length && (!isCold || list.length === report.stalls.length)) { /* is it the stream, or this speed on this machine? */
			await page.goto(harness.url);
			const again = await run({ rate: 2, seekTo: 0, tracks: title.audios && !isCold });

			note = `; at 8 times the speed: ${list.join("; ")}`;
			list = [...faults(again, title, stream, jobMs), ...again.stalls];
		}
		tell(list.length ? "failed" : "ok", title.name, label, `${list.length ? list.join("; ") : describe(report)}${note}`);
	} catch (e) {
		tell("failed", title.name, label, e.message.split("\n")[0]);
	}
	await page.close();
}

/* Whether this browser has the decoders, asked once a title. */
async function ask(browser, harness, codecs) {
	const page = await openHarness(browser, harness, false);
	const answer = await page.evaluate((c) => ({ supports: supports(c), playsHls: playsHls() }), codecs);

	await page.close();
	return answer;
}

/* Of real files, which may be many, hls.js plays each, and of the others one, by turns. */
function playersOf(title) {
	const others = PLAYERS.slice(1);

	return title.isReal && !isAll ? [PLAYERS[0], others[title.number % others.length]] : PLAYERS;
}

async function playInBrowser(browser, harness, farm, title, codecs) {
	const able = await ask(browser, harness, codecs);

	for (const player of playersOf(title)) {
		const [name, kind, address] = player;

		if (!isWanted(title, name))
			continue;
		if (!able.supports || (kind === "native" && !able.playsHls)) {
			tell("skipped", title.name, name, able.supports ? "this browser does not play HLS by itself" : `this browser has no decoder for ${codecs}`);
			continue;
		}
		const stream = await farm.submit(title.file, OPTIONS, true);
		const jobMs = await measureJob(farm, stream);

		if (!stream.urls[address]) {
			tell("skipped", title.name, name, `there is no ${address}`);
			continue;
		}
		await play(browser, harness, farm, title, stream, jobMs, player, true);
		await play(browser, harness, farm, title, stream, jobMs, player, false);
		await farm.remove(stream.key);
	}
}

async function checkTitle(browser, harness, farm, title) {
	const names = ["parsers", ...Object.keys(programs), ...PLAYERS.map(([name]) => name)];
	let stream, codecs = "";

	if (!names.some((name) => isWanted(title, name)))
		return;

	try {
		stream = await farm.submit(title.file, OPTIONS, true);
	} catch (e) { /* among real files are some that are broken, on purpose */
		tell(title.isReal ? "skipped" : "failed", title.name, "", e.message);
		return;
	}
	try {
		const most = Math.max(stream.duration, title.seconds || 0), report = await checkPlaylists(farm.url(stream.urls.master), stream.duration, most);

		codecs = report.codecs;
		tell(report.errors.length ? "failed" : "ok", title.name, "hls-parser, m3u8-parser", report.errors.join("; ") || codecs);
		for (const [name, runProgram] of Object.entries(programs)) {
			if (!isWanted(title, name))
				continue;
			const { errors, end } = await runProgram(farm.url(stream.urls.master));

			if (end && (end < stream.duration - 0.3 || end > most + 0.3))
				errors.push(`ends at ${end} of ${stream.duration}`);
			tell(errors.length ? "failed" : "ok", title.name, name, errors.join("; ") || "to the end");
		}
		await farm.remove(stream.key);
		await playInBrowser(browser, harness, farm, title, codecs);
	} catch (e) {
		tell("failed", title.name, "", e.message);
	}
}

const isPages = only === "pages", isOthers = only === "others";
const titles = isPages ? [] : makeTitles(isQuick), real = isPages || isOthers || isQuick ? [] : realTitles(process.env.MEDIA_DIR);

/* Each title with each player. */
async function checkTitles(browser, harness) {
	const farm = new Farm({ roots: [MEDIA, ...new Set(real.map((t) => path.dirname(t.file)))] });

	try {
		await farm.start();
		for (const title of [...titles, ...real])
			await checkTitle(browser, harness, farm, title);
	} finally {
		await farm.stop();
	}
}

async function checkPlayers() {
	const harness = await serveHarness(), browser = await openBrowser();

	try {
		if (!isOthers)
			await checkTitles(browser, harness);
		if (isOthers || !only) {
			await checkFiles(browser, harness, tell);
			await checkGaps(browser, harness, tell);
		}
	} finally {
		await browser.close();
		harness.close();
	}
}

if (!isPages)
	await checkPlayers();
if (isPages || !only)
	await checkPages(tell, isQuick);
console.log(`${counts.ok} ok, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed || !counts.ok ? 1 : 0);
