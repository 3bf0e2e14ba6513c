/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The player page, /player/KEY: hls.js where it is installed and the browser can use it, else the browser's own HLS. The query
 * (a signature) goes on to the playlists; behind the # there may be t=SECONDS and engine=hls or native. What the API tells
 * (name, segments) is an extra: a viewer may have no token.
 */
import { $, api, clock, el, follow, hasToken, nameOf, reasonOf, setText, showTrouble } from "./common.js";
import { SegmentMap, describe } from "./map.js";

const TYPE = "application/vnd.apple.mpegurl";
const WAIT_MS = 40000; /* a segment that nobody has made yet is made while the player waits */

const video = $("video");
const key = location.pathname.split("/")[2] || location.search.slice(1, 17);
const query = location.pathname.startsWith("/player/") ? location.search : "";
const wanted = new URLSearchParams(location.hash.slice(1));
let master = `/hls/${key}/master.m3u8${query}`;
let hls = null, engine = "", segments = [], played = 0, strip = null;

/* ---- trouble */

const MEDIA_ERRORS = ["", "playing was aborted", "the network failed", "what came could not be decoded", "this browser cannot play it"];

/* Asks for the address again, for the server says why it does not give it. */
async function reasonFor(url) {
	try {
		const response = await fetch(url, { cache: "no-store" });

		return response.ok ? "" : `${response.status}: ${await reasonOf(response)}`;
	} catch {
		return "the server does not answer";
	}
}

async function fail(what, url) {
	const why = url ? await reasonFor(url) : "";

	showTrouble(why ? `${what}. ${why}` : what);
}

function onHlsError(event, data) {
	const url = data.url || data.frag?.url || data.context?.url || master;
	const codecs = [...new Set((hls.levels || []).map((l) => l.attrs?.CODECS).filter(Boolean))].join(" or ");

	if (!data.fatal)
		return;
	if (data.details === "manifestIncompatibleCodecsError" || data.details === "bufferAddCodecError" || data.details === "bufferIncompatibleCodecsError")
		fail(`This browser has no decoder for this title${codecs && ` (${codecs})`}. Another browser may have, or the title can be submitted again with re-encoding`);
	else if (data.type === "networkError")
		fail(`The stream could not be loaded (${data.details})`, url);
	else
		fail(`Playing failed (${data.details}${data.error ? `: ${data.error.message}` : ""})`);
}

function onVideoError() {
	if (engine === "native" && video.error)
		fail(`Playing failed: ${MEDIA_ERRORS[video.error.code]}${video.error.message ? ` (${video.error.message})` : ""}`, master);
}

/* ---- selects */

/* names: of the choices; -1 in `none` adds one for nothing. */
function fillSelect(select, names, current, onChange, none) {
	const options = names.map((name, i) => el("option", { value: i, textContent: name }));

	if (none)
		options.unshift(el("option", { value: -1, textContent: none }));
	select.replaceChildren(...options);
	select.value = current;
	select.onchange = () => onChange(Number(select.value));
	select.parentElement.hidden = options.length < 2;
}

function trackName(track, i) {
	const name = track.name || track.label || "", language = track.lang || track.language || "";

	return name && language && name !== language ? `${name} (${language})` : name || language || `track ${i + 1}`;
}

function fillHlsSelects() {
	fillSelect($("audio"), hls.audioTracks.map(trackName), hls.audioTrack, (i) => hls.audioTrack = i);
	fillSelect($("subtitles"), hls.subtitleTracks.map(trackName), hls.subtitleTrack, (i) => {
		hls.subtitleDisplay = i >= 0;
		hls.subtitleTrack = i;
	}, "off");
	fillSelect($("quality"), hls.levels.map((l) => `${l.height ? `${l.height}p, ` : ""}${(l.bitrate / 1e6).toFixed(1)} Mb/s`),
		hls.autoLevelEnabled ? -1 : hls.currentLevel, (i) => hls.nextLevel = i, hls.levels.length > 1 ? "automatic" : "");
}

function fillNativeSelects() {
	const audio = [...video.audioTracks || []], text = [...video.textTracks];

	fillSelect($("audio"), audio.map(trackName), audio.findIndex((t) => t.enabled), (i) => audio.forEach((t, k) => t.enabled = k === i));
	fillSelect($("subtitles"), text.map(trackName), text.findIndex((t) => t.mode === "showing"),
		(i) => text.forEach((t, k) => t.mode = k === i ? "showing" : "disabled"), "off");
}

/* ---- engines */

function startHls() {
	const slow = { maxTimeToFirstByteMs: WAIT_MS, maxLoadTimeMs: 3 * WAIT_MS, timeoutRetry: { maxNumRetry: 2, retryDelayMs: 500, maxRetryDelayMs: 4000 },
		       errorRetry: { maxNumRetry: 6, retryDelayMs: 500, maxRetryDelayMs: 4000 } };

	hls = new window.Hls({
		enableWorker: false,
		startPosition: wanted.has("t") ? Number(wanted.get("t")) : -1,
		manifestLoadPolicy: { default: slow }, playlistLoadPolicy: { default: slow }, fragLoadPolicy: { default: slow },
	});
	const events = window.Hls.Events;

	hls.on(events.ERROR, onHlsError);
	for (const name of [events.MANIFEST_PARSED, events.AUDIO_TRACKS_UPDATED, events.SUBTITLE_TRACKS_UPDATED, events.AUDIO_TRACK_SWITCHED, events.SUBTITLE_TRACK_SWITCH])
		hls.on(name, fillHlsSelects);
	hls.loadSource(master);
	hls.attachMedia(video);
}

function startNative() {
	for (const list of [video.textTracks, video.audioTracks].filter(Boolean))
		for (const name of ["addtrack", "removetrack", "change"])
			list.addEventListener(name, fillNativeSelects);
	if (wanted.has("t"))
		video.addEventListener("loadedmetadata", () => video.currentTime = Number(wanted.get("t")), { once: true });
	video.src = master;
}

/* hls.js is a package of its own, which may not be installed. */
function loadHls() {
	return new Promise((resolve) => {
		const script = el("script", { src: "/web/hls.min.js" });

		script.onload = () => resolve(Boolean(window.Hls?.isSupported()));
		script.onerror = () => resolve(false);
		document.head.append(script);
	});
}

async function start() {
	const names = { hls: "hls.js", native: "the browser" };
	const engines = [];

	if (await loadHls())
		engines.push("hls");
	if (video.canPlayType(TYPE))
		engines.push("native");
	if (!engines.length) {
		showTrouble(window.Hls ? "This browser can play neither HLS nor Media Source Extensions."
			: "This browser does not play HLS by itself, and hls.js, which would, is not installed with this farm. “make player” fetches it.");
		return;
	}
	engine = engines.includes(wanted.get("engine")) ? wanted.get("engine") : engines[0];
	fillSelect($("engine"), engines.map((name) => names[name]), engines.indexOf(engine), (i) => {
		location.hash = `engine=${engines[i]}&t=${video.currentTime.toFixed(1)}`;
		location.reload();
	});
	if (!window.Hls)
		setText($("notes"), "hls.js is not installed with this farm: the browser plays by itself.");
	if (engine === "hls")
		startHls();
	else
		startNative();
	video.play().catch(() => {}); /* where the browser does not let it, there is a button */
}

/* ---- what is shown beside the picture */

function bufferedAhead() {
	const t = video.currentTime, ranges = video.buffered;

	for (let i = 0; i < ranges.length; i++)
		if (ranges.start(i) <= t + 0.1 && t <= ranges.end(i))
			return ranges.end(i) - t;
	return 0;
}

function showStats() {
	const quality = video.getVideoPlaybackQuality?.(), level = hls?.levels?.[hls.currentLevel], parts = [];

	if (!engine || !video.readyState)
		return;
	if (video.videoWidth)
		parts.push(`${video.videoWidth}×${video.videoHeight}`);
	if (level?.attrs)
		parts.push(level.attrs.CODECS, `${(level.bitrate / 1e6).toFixed(1)} Mb/s`);
	parts.push(`${bufferedAhead().toFixed(1)} s ahead`);
	if (quality?.totalVideoFrames)
		parts.push(`${quality.totalVideoFrames} frames, ${quality.droppedVideoFrames} dropped`);
	if (hls?.bandwidthEstimate && hls.latestLevelDetails !== undefined)
		parts.push(`line ${(hls.bandwidthEstimate / 1e6).toFixed(0)} Mb/s`);
	parts.push(engine === "hls" ? `hls.js ${window.Hls.version}` : "the browser's own HLS");
	setText($("stats"), parts.filter(Boolean).join(" · "));
}

function showNow() {
	const i = segments.findLastIndex((s) => s.start <= video.currentTime);

	if (!strip || i < 0)
		return;
	strip.now = video.currentTime;
	strip.draw();
	setText($("strip-note"), segments[i].state === "made" ? "" : describe(segments[i], i));
}

function take(changed) {
	const byName = new Map(changed.map((s) => [s.name, s]));

	segments = segments.map((s) => byName.has(s.name) ? { ...s, ...byName.get(s.name) } : s);
	strip?.set(segments);
	showNow();
}

/* The rendition that is played in any case: the first one, or without video the default audio. */
function renditionPlayed({ tracks = [], renditions = [] }) {
	const audio = tracks.some((t) => t.type === "video") ? null : tracks.find((t) => t.type === "audio" && t.is_default);

	return Math.max(0, renditions.findIndex((r) => r.name === audio?.rendition));
}

/* A token is not asked for: who has none just sees less. */
async function learn() {
	const detail = await api(`/v1/streams/${key}`, { isQuiet: true });

	setText($("title"), nameOf(detail.source));
	document.title = `${nameOf(detail.source)} – segfarm`;
	if (!query && detail.urls?.master)
		master = detail.urls.master;
	if (detail.error)
		setText($("notes"), detail.error);
	played = renditionPlayed(detail);
	segments = detail.renditions?.[played]?.segments || [];
	if (!segments.length)
		return;
	$("strip").hidden = false;
	strip ||= new SegmentMap($("strip"), "Segments; Enter plays from there", { isStrip: true, onChoose: (s) => video.currentTime = s.start });
	strip.set(segments);
}

function followSegments() {
	follow(`/v1/events?stream=${key}`, (event, data) => {
		if (event === "segments" && segments.length)
			take(data.renditions[played].segments);
		else if (event === "open" || event === "reset" || (event === "stream" && data.key === key && !segments.length))
			learn().catch(() => {});
	}, true);
}

/* ---- keys */

function go(seconds) {
	video.currentTime = Math.max(0, Math.min(video.duration || 0, seconds));
}

function goSegment(step) {
	const i = segments.findLastIndex((s) => s.start <= video.currentTime + 0.01);

	if (segments[i + step])
		go(segments[i + step].start);
}

const KEYS = {
	" ": () => video.paused ? video.play() : video.pause(),
	ArrowLeft: () => go(video.currentTime - 10),
	ArrowRight: () => go(video.currentTime + 10),
	",": () => goSegment(-1),
	".": () => goSegment(1),
	m: () => video.muted = !video.muted,
	f: () => document.fullscreenElement ? document.exitFullscreen() : video.requestFullscreen(),
};

document.addEventListener("keydown", (event) => {
	if (!KEYS[event.key] || event.ctrlKey || event.altKey || event.metaKey || event.target.closest("select, input, button, a, canvas, video"))
		return;
	event.preventDefault();
	KEYS[event.key]();
});

$("rate").addEventListener("change", () => video.playbackRate = Number($("rate").value));
video.addEventListener("error", onVideoError);
video.addEventListener("playing", () => showTrouble(""));
video.addEventListener("timeupdate", showNow);
setInterval(showStats, 1000);

if (!/^[0-9a-f]{16}$/.test(key)) {
	showTrouble("This address names no stream: it ends with a stream's key, as in /player/0123456789abcdef.");
} else {
	learn().catch((e) => {
		if (e.status === 404)
			showTrouble("There is no such stream.");
	}).finally(() => {
		start();
		if (!query || hasToken())
			followSegments();
	});
}
