/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Segments named one by one in the MPD: in files (segfarm run -o) on a server that knows nothing, and where URLs are signed. dash.js takes no
 * part: it reads a SegmentList as if all its segments lasted the same.
 */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { openHarness } from "./browser.mjs";
import { BUILD, Farm } from "./farm.mjs";
import { MEDIA } from "./titles.mjs";

const TITLE = path.join(MEDIA, "tracks-ac3.mkv");
const TYPES = { ".mpd": "application/dash+xml", ".m3u8": "application/vnd.apple.mpegurl", ".m4s": "video/mp4", ".mp4": "video/mp4", ".vtt": "text/vtt" };

function serveFiles(dir) {
	return new Promise((resolve) => {
		const server = http.createServer((request, response) => {
			const file = path.join(dir, path.normalize(request.url));

			response.writeHead(fs.existsSync(file) ? 200 : 404, { "Content-Type": TYPES[path.extname(file)] || "text/plain", "Access-Control-Allow-Origin": "*" });
			response.end(fs.existsSync(file) ? fs.readFileSync(file) : "");
		});

		server.listen(0, "127.0.0.1", () => resolve({ url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }));
	});
}

async function playList(browser, harness, where, urls, seconds, tell) {
	for (const [name, kind, url] of [["hls.js", "hls", urls.master], ["Shaka, HLS", "shaka", urls.master], ["Shaka, DASH", "shaka", urls.mpd]]) {
		const page = await openHarness(browser, harness, true);

		try {
				const report = await page.evaluate(([k, u, o]) => check(k, u, o), [kind, url, { rate: 4, timeout_s: 60, tracks: true }]), list = [...report.errors];

			if (!list.length && (Math.abs(report.end - seconds) > 0.1 || report.borders.length || report.audio.length !== 2 || !report.switched))
				list.push(`ended at ${report.end} of ${seconds}; ${report.borders.slice(0, 3).join("; ")}; audio ${report.audio.join(", ")}`);
			tell(list.length ? "failed" : "ok", where, name, list.join("; ") || `to the end, audio ${report.audio.join(", ")}`);
		} catch (e) {
			tell("failed", where, name, e.message.split("\n")[0]);
		}
		await page.close();
	}
}

export async function checkFiles(browser, harness, tell) {
	const out = path.join(BUILD, "players", "files"), keys = path.join(BUILD, "players", "url-keys");
	const farm = new Farm({ roots: [MEDIA], serve: ["--url-key-file", keys] });
	let server;

	if (!fs.existsSync(TITLE))
		return;
	fs.rmSync(out, { recursive: true, force: true });
	fs.rmSync(keys, { force: true });
	fs.writeFileSync(keys, `${"0123456789abcdef".repeat(4)}\n`, { mode: 0o600 });
	try {
		execFileSync(path.join(BUILD, "segfarm"), ["run", "-o", out, "--segment-duration", "2", TITLE], { stdio: "ignore", env: { ...process.env, PATH: `${BUILD}:${process.env.PATH}` } });
		server = await serveFiles(out);
		await farm.start();
		const stream = await farm.submit(TITLE, { "segment-duration": 2 }, true);

		await playList(browser, harness, "files", { master: `${server.url}/master.m3u8`, mpd: `${server.url}/manifest.mpd` }, stream.duration, tell);
		await playList(browser, harness, "signed URLs", { master: farm.url(stream.urls.master), mpd: farm.url(stream.urls.mpd) }, stream.duration, tell);
	} catch (e) {
		tell("failed", "files, signed URLs", "", e.message);
	} finally {
		server?.close();
		await farm.stop();
	}
}
