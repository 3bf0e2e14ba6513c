/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One title with two languages and subtitles, cold, in hls.js and in Shaka Player. No times are judged: the machine may be busy.
 */
import { openBrowser, openHarness, serveHarness } from "./browser.mjs";
import { Farm } from "./farm.mjs";
import { MEDIA, makeTitles } from "./titles.mjs";

const [title] = makeTitles(true), LIMIT_S = 120;
const farm = new Farm({ roots: [MEDIA] }), harness = await serveHarness(), browser = await openBrowser();
let failed = 0;

function faults(report, stream) {
	const list = [...report.errors];

	if (!list.length && Math.abs(report.end - stream.duration) > 0.2)
		list.push(`ended at ${report.end} of ${stream.duration}`);
	if (!list.length)
		list.push(...report.borders.slice(0, 3));
	if (!list.length && (report.audio.length !== 2 || !report.switched || report.subtitles.length !== 1))
		list.push(`audio ${JSON.stringify(report.audio)}, switched ${report.switched}, subtitles ${JSON.stringify(report.subtitles)}`);
	return list;
}

try {
	await farm.start();
	for (const kind of ["hls", "shaka"]) {
		const stream = await farm.submit(title.file, { "segment-duration": 2 }, true), page = await openHarness(browser, harness, true);
		const report = await page.evaluate(([k, url, o]) => check(k, url, o), [kind, farm.url(stream.urls.master), { rate: 4, timeout_s: LIMIT_S, tracks: true }]);
		const list = faults(report, stream);

		failed += list.length > 0;
		console.log(`${kind}: ${list.join("; ") || `played to the end, ${report.end} s, audio ${report.audio.join(", ")}`}`);
		await page.close();
		await farm.remove(stream.key);
	}
} finally {
	await browser.close();
	harness.close();
	await farm.stop();
}
process.exit(failed ? 1 : 0);
