/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * In the browser: plays an address with one player, and reports what it saw. What is appended to source buffers is read on its way:
 * `buffered` passes over gaps of up to two frames, the boxes do not.
 */
"use strict";
const video = document.getElementById("video");
const seen = { errors: [], stalls: [], notes: [], appended: [], mimes: [], hasGap: false, hasSwitched: false };
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(isSo, ms, what) {
	for (const end = performance.now() + ms; !isSo();) {
		if (seen.errors.length)
			throw new Error(seen.errors[0]);
		if (performance.now() > end)
			throw new Error(`waited ${ms / 1000} s for ${what}; at ${video.currentTime.toFixed(3)} of ${video.duration}, readyState ${video.readyState}`);
		await sleep(15);
	}
}

/* ---- what is appended: ISO/IEC 14496-12 */

function boxes(view, from, to) {
	const list = [];

	for (let at = from; at + 8 <= to;) {
		let size = view.getUint32(at), head = 8;
		const type = String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at + 4, 4));

		if (size === 1) {
			size = Number(view.getBigUint64(at + 8));
			head = 16;
		}
		if (size < head || at + size > to)
			break;
		list.push({ type, at: at + head, end: at + size });
		at += size;
	}
	return list;
}

function inside(view, box, type) {
	return boxes(view, box.at, box.end).filter((b) => b.type === type);
}

function readInit(buffer, view, moov) {
	for (const trak of inside(view, moov, "trak")) {
		const tkhd = inside(view, trak, "tkhd")[0], mdhd = inside(view, inside(view, trak, "mdia")[0], "mdhd")[0];
		const id = view.getUint32(tkhd.at + (view.getUint8(tkhd.at) ? 20 : 12));

		buffer.tracks[id] = { scale: view.getUint32(mdhd.at + (view.getUint8(mdhd.at) ? 20 : 12)), usual: 0 };
	}
	for (const mvex of inside(view, moov, "mvex"))
		for (const trex of inside(view, mvex, "trex"))
			if (buffer.tracks[view.getUint32(trex.at + 4)])
				buffer.tracks[view.getUint32(trex.at + 4)].usual = view.getUint32(trex.at + 12);
}

/* Duration of a run of samples, and how many there are. */
function readRun(view, trun, usual) {
	const flags = view.getUint32(trun.at) & 0xffffff, n = view.getUint32(trun.at + 4);
	const has = (bit) => flags & bit ? 4 : 0, size = has(0x100) + has(0x200) + has(0x400) + has(0x800);
	let at = trun.at + 8 + has(1) + has(4), sum = 0;

	for (let i = 0; i < n; i++, at += size)
		sum += flags & 0x100 ? view.getUint32(at) : usual;
	return [sum, n];
}

function readFragment(buffer, view, moof) {
	for (const traf of inside(view, moof, "traf")) {
		const tfhd = inside(view, traf, "tfhd")[0], tfdt = inside(view, traf, "tfdt")[0], flags = view.getUint32(tfhd.at) & 0xffffff;
		const id = view.getUint32(tfhd.at + 4), track = buffer.tracks[id] || { scale: 1, usual: 0 };
		const usual = flags & 8 ? view.getUint32(tfhd.at + 8 + (flags & 1 ? 8 : 0) + (flags & 2 ? 4 : 0)) : track.usual;
		const start = view.getUint8(tfdt.at) ? Number(view.getBigUint64(tfdt.at + 4)) : view.getUint32(tfdt.at + 4);
		let sum = 0, n = 0;

		for (const trun of inside(view, traf, "trun")) {
			const [duration, count] = readRun(view, trun, usual);

			sum += duration;
			n += count;
		}
		if (n)
			seen.appended.push({ track: `${buffer.mime.split(";")[0]} ${id}`, start: start / track.scale, end: (start + sum) / track.scale, n });
	}
}

/* A player may append in pieces: a box that is not whole waits. */
function readAppended(buffer, data) {
	const part = new Uint8Array(data.buffer ? data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) : data);
	const all = new Uint8Array(buffer.rest.length + part.length), view = new DataView(all.buffer);
	let at = 0;

	all.set(buffer.rest);
	all.set(part, buffer.rest.length);
	for (const box of boxes(view, 0, all.length)) {
		if (box.type === "moov")
			readInit(buffer, view, box);
		if (box.type === "moof")
			readFragment(buffer, view, box);
		at = box.end;
	}
	buffer.rest = all.slice(at);
}

const addSourceBuffer = MediaSource.prototype.addSourceBuffer;
MediaSource.prototype.addSourceBuffer = function (mime) {
	const source = addSourceBuffer.call(this, mime), append = source.appendBuffer;
	const buffer = { mime, tracks: {}, rest: new Uint8Array(0) };

	seen.mimes.push(mime);
	source.appendBuffer = function (data) {
		try {
			readAppended(buffer, data);
		} catch (e) {
			seen.errors.push(`what was appended: ${e.message}`);
		}
		return append.call(this, data);
	};
	return source;
};

/* Gaps and overlaps between fragments of each track, over `most` seconds, from a time on. isSkimmed: gaps of seconds are what was passed over. */
function borders(most, from, isSkimmed) {
	const tracks = {}, faults = [];

	for (const f of seen.appended)
		(tracks[f.track] ||= new Map()).set(f.start.toFixed(5), f);
	for (const [name, map] of Object.entries(tracks)) {
		const list = [...map.values()].filter((f) => f.end > from).sort((a, b) => a.start - b.start);

		list.slice(1).forEach((f, i) => {
			const gap = f.start - list[i].end;

			if (Math.abs(gap) > most && !(isSkimmed && gap > 1))
				faults.push(`${name}: ${gap > 0 ? "gap" : "overlap"} of ${(1000 * Math.abs(gap)).toFixed(2)} ms at ${f.start.toFixed(3)}`);
		});
	}
	return faults;
}

/* Of each track, what was appended, in pieces. */
function spans() {
	const tracks = {};

	for (const f of seen.appended)
		tracks[f.track] = join(tracks[f.track] || [], [[f.start - 0.001, f.end + 0.001]]);
	return tracks;
}

/* ---- the players */

const players = {
	async hls(url) {
		const hls = new Hls({ enableWorker: false, maxBufferLength: 60 });

		hls.on(Hls.Events.ERROR, (event, data) => {
			if (!data.fatal && seen.hasGap) /* that it has met it */
				seen.notes.push(data.details);
			else if (!data.fatal && /Stall/.test(data.details)) /* of the stream, or of a machine that is busy */
				seen.stalls.push(`${data.details} at ${video.currentTime.toFixed(2)}`);
			else if (!data.fatal && seen.hasSwitched && /^Found no media in main/.test(data.error?.message)) /* in what of sound alone was on its way to it */
				seen.notes.push(data.details);
			else if (data.fatal || data.details !== "aborted") /* a request that a seek has made idle */
				seen.errors.push(`${data.type} ${data.details}${data.fatal ? " (fatal)" : ""} ${data.error?.message || ""}`);
		});
		hls.loadSource(url);
		hls.attachMedia(video);
		return {
			stop: () => hls.destroy(),
			audio: () => hls.audioTracks.map((t) => t.name), setAudio: (i) => hls.audioTrack = i,
			subtitles: () => hls.subtitleTracks.map((t) => t.name), setSubtitles: (i) => {
				hls.subtitleDisplay = true;
				hls.subtitleTrack = i;
			},
		};
	},
	async native(url) {
		video.onerror = () => seen.errors.push(`video error ${video.error.code} ${video.error.message}`);
		video.src = url;
		return {
			stop: () => video.removeAttribute("src"), audio: () => [], subtitles: () => [...video.textTracks].map((t) => t.label),
			setSubtitles: (i) => [...video.textTracks].forEach((t, k) => t.mode = k === i ? "showing" : "disabled"),
		};
	},
	async shaka(url) {
		const player = new shaka.Player();
		const note = (e) => seen.errors.push(`Shaka ${e.category}.${e.code} ${JSON.stringify(e.data || []).slice(0, 200)}`);

		const jumps = [];

		shaka.polyfill.installAll();
		await player.attach(video);
		/* not "sequence", its default for HLS, which puts segments where it thinks that they belong: the times count */
		player.configure({ manifest: { hls: { sequenceMode: false } }, streaming: { bufferingGoal: 60, rebufferingGoal: 0.1 } });
		player.addEventListener("error", (e) => note(e.detail));
		player.addEventListener("gapjumped", () => jumps.push({ to: video.currentTime, buffered: player.getBufferedInfo() }));
		await player.load(url).catch(note);
		return {
			stop: () => player.destroy(), jumped: () => jumps,
			audio: () => [...new Set(player.getVariantTracks().map((t) => t.label || t.language))],
			setAudio: (i) => {
				const names = [...new Set(player.getVariantTracks().map((t) => t.label || t.language))];

				player.selectVariantTrack(player.getVariantTracks().find((t) => (t.label || t.language) === names[i]), true);
			},
			subtitles: () => player.getTextTracks().map((t) => t.label || t.language),
			setSubtitles: (i) => {
				player.selectTextTrack(player.getTextTracks()[i]);
				player.setTextTrackVisibility?.(true);
			},
		};
	},
	async dash(url) {
		const player = dashjs.MediaPlayer().create();

		/* Its default asks the browser about "avc1...,mp4a..." in a way that takes one codec only, and then finds no stream where
		 * sound is in the same segments as the picture. */
		player.on("error", (e) => seen.errors.push(`dash.js ${e.error?.code || ""} ${e.error?.message || e.error}`));
		player.updateSettings({ debug: { logLevel: 0 }, streaming: { capabilities: { useMediaCapabilitiesApi: false } } });
		player.initialize(video, url, false);
		return {
			stop: () => player.destroy(),
			audio: () => player.getTracksFor("audio").map((t) => t.lang), setAudio: (i) => player.setCurrentTrack(player.getTracksFor("audio")[i]),
			subtitles: () => player.getTracksFor("text").map((t) => t.lang), setSubtitles: (i) => player.setTextTrack(i),
		};
	},
};

/* Whether this browser says that it can decode a list of codecs. */
function supports(codecs) {
	return MediaSource.isTypeSupported(`video/mp4; codecs="${codecs}"`) || MediaSource.isTypeSupported(`audio/mp4; codecs="${codecs}"`);
}

function playsHls() {
	return Boolean(video.canPlayType("application/vnd.apple.mpegurl"));
}

function ranges() {
	return Array.from({ length: video.buffered.length }, (_, i) => [video.buffered.start(i), video.buffered.end(i)]);
}

/* Ranges that were buffered at some time. */
function join(a, b) {
	const all = [...a, ...b].sort((x, y) => x[0] - y[0]), out = [];

	for (const [start, end] of all) {
		const last = out[out.length - 1];

		if (last && start <= last[1] + 1e-6)
			last[1] = Math.max(last[1], end);
		else
			out.push([start, end]);
	}
	return out;
}

async function go(to, ms) {
	const begin = performance.now();

	video.currentTime = to;
	await until(() => !video.seeking && video.readyState >= 3, ms, `a seek to ${to.toFixed(1)}`);
	await until(() => video.currentTime > to + 0.05 || video.ended, ms, `playing on from ${to.toFixed(1)}`);
	return Math.round(performance.now() - begin);
}

/* Sound that really comes out of the decoder; bytes where the browser counts them. */
function decoded() {
	return { frames: video.getVideoPlaybackQuality().totalVideoFrames, audio: video.webkitAudioDecodedByteCount || 0 };
}

async function switchAudio(player, report, ms) {
	const names = player.audio();

	report.audio = names;
	for (let i = names.length - 1; i >= 0 && player.setAudio; i--) {
		const before = seen.appended.length, from = video.currentTime;

		seen.hasSwitched = true;
		player.setAudio(i);
		await until(() => video.currentTime > from + 0.3 && video.readyState >= 3, ms, `playing on with audio ${names[i]}`);
		report.switched = (report.switched || 0) + (seen.appended.length > before ? 1 : 0);
	}
}

async function showSubtitles(player, report, ms) {
	const names = player.subtitles();

	report.subtitles = names;
	if (!names.length)
		return;
	player.setSubtitles(0);
	await until(() => [...video.textTracks].some((t) => t.cues?.length) || document.querySelector(".shaka-text-container span"), ms, "a subtitle");
	report.cue = [...video.textTracks].flatMap((t) => [...t.cues || []])[0]?.text;
}

/* Plays the whole title. options: rate, seekTo (first; NULL: nowhere), timeout_s, tracks: also switches audio and shows subtitles, hasGap: a
 * segment is missing, skim: of a long one that many seconds at its beginning and at its end. */
async function check(kind, url, options) {
	const ms = options.timeout_s * 1000, report = { kind }, begin = performance.now();
	let player, all = [];
	const watch = setInterval(() => all = join(all, ranges()), 50);

	seen.errors = [];
	seen.stalls = [];
	seen.notes = [];
	seen.hasGap = Boolean(options.hasGap);
	seen.hasSwitched = false;
	seen.appended = [];
	video.muted = true;
	try {
		player = await players[kind](url);
		await until(() => video.readyState >= 3, ms, "the first picture");
		report.start_ms = Math.round(performance.now() - begin);
		await video.play();
		report.duration = video.duration;
		if (options.seekTo)
			report.seek_ms = await go(options.seekTo * video.duration, ms);
		if (options.tracks) {
			await showSubtitles(player, report, ms);
			await switchAudio(player, report, ms);
		}
		/* dash.js loads nothing more after a seek back into what it has, once it has the last segment; nor the sound there that was
		 * switched to behind it */
		if (kind === "dash" && (options.seekTo || options.tracks))
			report.from = options.seekTo ? options.seekTo * video.duration : video.currentTime;
		else if (video.currentTime > 0.5)
			await go(0, ms);
		video.playbackRate = options.rate;
		if (options.skim && video.duration > 2 * options.skim) {
			await until(() => video.currentTime > options.skim, ms, `${options.skim} s to be played`);
			await go(video.duration - options.skim, ms);
			report.isSkimmed = true;
		}
		await until(() => video.ended, ms, "the end");
		all = join(all, ranges());
		report.end = video.currentTime;
		report.ranges = all;
		report.decoded = decoded();
		report.corrupted = video.getVideoPlaybackQuality().corruptedVideoFrames;
		report.jumped = player.jumped?.() || [];
		report.borders = borders(0.001, report.from || 0, report.isSkimmed);
		report.fragments = seen.appended.length;
		report.last = seen.appended.reduce((last, f) => Math.max(last, f.end), 0);
		report.spans = spans();
		report.size = `${video.videoWidth}x${video.videoHeight}`;
	} catch (e) {
		seen.errors.push(e.message);
	}
	clearInterval(watch);
	report.stalls = seen.stalls;
	report.notes = [...new Set(seen.notes)];
	report.errors = [...new Set(seen.errors)].slice(0, 5);
	await Promise.resolve(player?.stop()).catch(() => {});
	return report;
}
