/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The status page: what is true when it is opened comes from the API, what changes then from events.
 */
import { $, api, el, follow, nameOf, number, setText, showTrouble } from "./common.js";
import { Plot } from "./plot.js";
import * as streams from "./streams.js";

const PAGE = 100;         /* streams of one request */
const RELIST_MS = 10000;  /* streams of other dispatchers: only the list tells how they are */
const WORKERS_SHOWN = 120;

const queuePlot = new Plot($("queue-plot"), ["running", "queued", "later"], "");
const speedPlot = new Plot($("speed-plot"), ["made"], "×");
let farm = { dispatchers: [] };
let samples = [], stepMs = 2000, room = 300;

/* ---- streams */

async function list() {
	const keys = new Set();

	for (let after = ""; after !== null;) {
		const page = await api(`/v1/streams?limit=${PAGE}${after && `&after=${encodeURIComponent(after)}`}`);

		for (const stream of page.streams) {
			keys.add(stream.key);
			streams.put(stream);
		}
		after = page.next ?? null;
	}
	streams.keep(keys);
	streams.openFirst();
}

let listing = null;
function relist() {
	listing ||= list().then(() => showTrouble(""), (e) => showTrouble(e.message)).finally(() => listing = null);
	return listing;
}

async function checkGone(key) {
	try {
		streams.put(await api(`/v1/streams/${key}`));
	} catch (e) {
		if (e.status === 404)
			streams.drop(key);
	}
}

/* ---- the farm */

function countStreams() {
	const all = streams.all(), count = (is) => all.filter(is).length;
	const parts = [[count((s) => s.state === "probing" || (s.state === "making" && !s.on_demand)), "being made"],
		[count((s) => s.state === "making" && s.on_demand), "on demand"], [count((s) => s.state === "partial" || s.state === "failed"), "with trouble"]];

	setText($("n-streams"), number(all.length));
	setText($("n-making"), parts.filter(([n]) => n).map(([n, what]) => `${number(n)} ${what}`).join(", "));
}

function doing(worker) {
	const stream = worker.stream && streams.find(worker.stream);

	if (!worker.jobs)
		return "idle";
	if (!worker.stream)
		return "plays a stream";
	return `${stream ? nameOf(stream.source) : worker.stream}, ${worker.slot ? `segment ${number(worker.slot)}${stream ? ` of ${number(stream.segments)}` : ""}` : "looks at it"}`;
}

function workerItem(worker) {
	const silent = worker.silent_ms > 3000 ? `, silent for ${Math.round(worker.silent_ms / 1000)} s` : "";

	return el("li", { className: worker.jobs ? "busy" : "idle", title: `process ${worker.pid}` },
		el("b", { textContent: worker.name }), el("span", { textContent: doing(worker) + silent }));
}

function fillFarm() {
	const workers = farm.dispatchers.flatMap((d) => d.workers || []), n = farm.dispatchers.reduce((sum, d) => sum + (d.n_workers || 0), 0);
	const busy = workers.filter((w) => w.jobs).length, items = workers.slice(0, WORKERS_SHOWN).map(workerItem);

	setText($("n-workers"), number(n));
	setText($("n-busy"), n ? `${number(busy)} busy${farm.dispatchers.length > 1 ? `, ${farm.dispatchers.length} dispatchers` : ""}` : "none is connected");
	if (n > items.length)
		items.push(el("li", { className: "idle", textContent: `and ${number(n - items.length)} more` }));
	$("workers").replaceChildren(...items);
	$("workers-none").hidden = n > 0;
}

/* ---- plots */

function fillPlots() {
	const last = samples[samples.length - 1] || [0, 0, 0, 0, 0], speed = last[4] / stepMs, queue = last[0] + last[1] + last[2];

	setText($("n-queue"), number(queue));
	setText($("queue-note"), `${number(last[3])} in hand, ${number(last[0])} for players waiting`);
	setText($("n-speed"), `${speed.toFixed(speed < 10 ? 1 : 0)}×`);
	setText($("speed-note"), "real time");
	queuePlot.set(samples.map((s) => [s[3], s[0] + s[1], s[2]]), room, stepMs);
	speedPlot.set(samples.map((s) => [s[4] / stepMs]), room, stepMs);
	$("queue-plot").setAttribute("aria-label", `Jobs of the last minutes: now ${last[3]} in hand, ${queue} in the queue, at most ${Math.max(0, ...samples.map((s) => s[0] + s[1] + s[2]))}`);
	$("speed-plot").setAttribute("aria-label", `Throughput of the last minutes: now ${speed.toFixed(1)} times real time, at most ${(Math.max(0, ...samples.map((s) => s[4])) / stepMs).toFixed(1)}`);
}

function takeHistory(data) {
	samples = data.samples;
	stepMs = data.step_ms;
	room = data.room;
	fillPlots();
}

function takeSample(data) {
	samples.push(data.sample);
	samples.splice(0, samples.length - room);
	fillPlots();
}

/* ---- events */

function setLink(state, text) {
	$("link").className = `link ${state}`;
	setText($("link"), text);
}

const handlers = {
	open() {
		setLink("on", "live");
		showTrouble("");
		relist();
		api("/v1/farm").then((data) => {
			farm = data;
			fillFarm();
		}, () => {});
	},
	closed({ reason }) {
		setLink("off", "not connected");
		showTrouble(`No news from the farm: ${reason}. Trying again.`);
	},
	reset: relist,
	farm(data) {
		farm = data;
		fillFarm();
	},
	history: takeHistory,
	sample: takeSample,
	stream: (data) => streams.put(data),
	gone: ({ key }) => checkGone(key),
};

$("streams").addEventListener("change", countStreams);
follow("/v1/events", (event, data) => {
	handlers[event]?.(data);
	if (event === "stream")
		countStreams();
});
setInterval(() => {
	if (!document.hidden && farm.dispatchers.length > 1)
		relist();
}, RELIST_MS);

/* ---- submitting */

const NUMBERS = ["segment-duration", "crf", "video-height"], TEXTS = ["audio", "encoder"]; /* as on the command line */

function readOptions() {
	const filled = [...NUMBERS, ...TEXTS].filter((name) => $(`o-${name}`).value.trim());

	return Object.fromEntries(filled.map((name) => [name, NUMBERS.includes(name) ? Number($(`o-${name}`).value) : $(`o-${name}`).value.trim()]));
}

$("submit").addEventListener("submit", async (event) => {
	event.preventDefault();
	setText($("submit-error"), "");
	try {
		const body = { source: $("source").value.trim(), on_demand: $("on-demand").checked, options: readOptions() };

		streams.put(await api("/v1/streams", { method: "POST", body }));
		setText($("said"), `Accepted: ${nameOf(body.source)}`);
		$("source").value = "";
	} catch (e) {
		setText($("submit-error"), e.message);
	}
});
