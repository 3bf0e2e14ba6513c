/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Playlists as two parsers read them that have nothing to do with each other: what they find has to be the same.
 */
import HLS from "hls-parser";
import { Parser } from "m3u8-parser";

function byFirst(text) {
	const p = HLS.parse(text);

	if (p.isMasterPlaylist)
		return p.variants.map((v) => ({ uri: v.uri, bandwidth: v.bandwidth, codecs: v.codecs || "", size: v.resolution ? `${v.resolution.width}x${v.resolution.height}` : "",
			rate: v.frameRate || 0, audio: v.audio.map((a) => `${a.language || ""} ${a.name} ${a.uri || ""}`).sort(), subtitles: v.subtitles.map((s) => `${s.language || ""} ${s.name} ${s.uri}`).sort() }));
	return { target: p.targetDuration, isOver: Boolean(p.endlist), segments: p.segments.map((s) => ({ uri: s.uri, duration: s.duration, map: s.map?.uri || "" })) };
}

function groups(manifest, type, id) {
	const group = manifest.mediaGroups[type]?.[id] || {};

	return Object.entries(group).map(([name, g]) => `${g.language || ""} ${name} ${g.uri || ""}`).sort();
}

function bySecond(text) {
	const parser = new Parser();

	parser.push(text);
	parser.end();
	const m = parser.manifest;

	if (m.playlists?.length)
		return m.playlists.map(({ uri, attributes: a }) => ({ uri, bandwidth: a.BANDWIDTH, codecs: a.CODECS || "", size: a.RESOLUTION ? `${a.RESOLUTION.width}x${a.RESOLUTION.height}` : "",
			rate: a["FRAME-RATE"] || 0, audio: groups(m, "AUDIO", a.AUDIO), subtitles: groups(m, "SUBTITLES", a.SUBTITLES) }));
	return { target: m.targetDuration, isOver: Boolean(m.endList), segments: m.segments.map((s) => ({ uri: s.uri, duration: s.duration, map: s.map?.uri || "" })) };
}

async function compare(url) {
	const text = await (await fetch(url)).text(), a = byFirst(text), b = bySecond(text);

	if (JSON.stringify(a) !== JSON.stringify(b))
		throw new Error(`${url} is read in two ways:\n${JSON.stringify(a).slice(0, 600)}\n${JSON.stringify(b).slice(0, 600)}`);
	return a;
}

/* Of a title: what is wrong, and what the playlists say. most: where the last of its tracks ends. */
export async function checkPlaylists(master, duration, most) {
	const errors = [], variants = await compare(master), renditions = variants.flatMap((v) => [...v.audio, ...v.subtitles].map((r) => r.split(" ").pop()));
	let codecs = "";

	for (const uri of new Set([...variants.map((v) => v.uri), ...renditions].filter(Boolean))) {
		const media = await compare(new URL(uri, master)), sum = media.segments.reduce((t, s) => t + s.duration, 0);

		if (!media.isOver)
			errors.push(`${uri} has no end`);
		if (sum < duration - 0.1 || sum > most + 0.1)
			errors.push(`${uri}: its segments last ${sum.toFixed(3)} s, the title ${duration.toFixed(3)} s`);
		if (media.segments.some((s) => Math.round(s.duration) > media.target))
			errors.push(`${uri} has a segment over its target duration`);
	}
	for (const v of variants)
		codecs ||= v.codecs;
	return { errors, codecs, variants };
}
