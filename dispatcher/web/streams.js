/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The list of streams: a row each, whose details (facts, a map for each rendition, what was given up) are fetched and followed while
 * they are open. One is open at a time.
 */
import { $, ApiError, api, clock, el, follow, nameOf, number, playerOf, setText } from "./common.js";
import { SegmentMap, STATES, describe } from "./map.js";

const GAPS_SHOWN = 50;
const SURE_MS = 4000;
const WORDS = { probing: "looking at it", making: "being made", complete: "complete", partial: "has gaps", failed: "failed", cancelled: "cancelled" };
const FILTERS = { busy: ["probing", "making"], complete: ["complete"], trouble: ["partial", "failed", "cancelled"] };
const LEGEND = { made: "made", running: "being made", queued: "in the queue", missing: "not made", gap: "given up" };

const rows = new Map(); /* by key */
let open = null;        /* the row whose details are shown */
let room = 200;         /* rows that are shown */

function say(text) {
	setText($("said"), text);
}

/* Asks the API to do something with a stream, and tells what came of it. */
async function act(row, method, what, told) {
	try {
		await api(`/v1/streams/${row.stream.key}${what}`, { method });
		say(`${told}: ${nameOf(row.stream.source)}`);
		return true;
	} catch (e) {
		setText(row.error, e.message);
		return false;
	}
}

async function remove(row) {
	if (!row.isSure) {
		row.isSure = true;
		setText(row.remove, "Sure?");
		setTimeout(() => {
			row.isSure = false;
			setText(row.remove, "Remove");
		}, SURE_MS);
	} else if (await act(row, "DELETE", "", "Removed")) {
		drop(row.stream.key);
	}
}

function button(row, text, onclick) {
	return el("button", { type: "button", textContent: text, onclick, "aria-describedby": `name-${row.stream.key}` });
}

function build(row) {
	const key = row.stream.key;

	row.name = el("span", { className: "name", id: `name-${key}` });
	row.toggle = el("button", { type: "button", className: "toggle", "aria-expanded": "false", "aria-controls": `details-${key}`, onclick: () => toggle(row) }, row.name);
	row.badge = el("span", { className: "badge" });
	row.count = el("span", { className: "count" });
	row.made = el("i", { className: "made" });
	row.failed = el("i", { className: "gap" });
	row.progress = el("span", { className: "progress", role: "progressbar", "aria-label": "Segments made", "aria-valuemin": 0 }, row.made, row.failed);
	row.play = el("a", { className: "button", textContent: "Play", "aria-describedby": `name-${key}` });
	row.cancel = button(row, "Cancel", () => act(row, "POST", "/cancel", "Cancelled"));
	row.retry = button(row, "Retry", () => act(row, "POST", "/retry", "Tried again"));
	row.remove = button(row, "Remove", () => remove(row));
	row.error = el("p", { className: "error" });
	row.details = el("div", { className: "details", id: `details-${key}`, hidden: true });
	row.element = el("li", { className: "stream" },
		el("div", { className: "line" }, row.toggle, row.badge, row.progress, row.count,
			el("span", { className: "buttons" }, row.play, row.cancel, row.retry, row.remove)),
		row.error, row.details);
}

function fill(row) {
	const s = row.stream, state = s.state;

	row.toggle.title = s.source;
	setText(row.name, nameOf(s.source));
	setText(row.badge, s.on_demand && state === "making" ? "on demand" : WORDS[state] || state);
	row.badge.className = `badge ${state}`;
	setText(row.count, s.segments ? `${number(s.made)} / ${number(s.segments)}` : "");
	row.made.style.width = `${s.segments ? 100 * s.made / s.segments : 0}%`;
	row.failed.style.width = `${s.segments ? 100 * s.failed / s.segments : 0}%`;
	row.progress.setAttribute("aria-valuemax", s.segments || 1);
	row.progress.setAttribute("aria-valuenow", s.made || 0);
	row.progress.classList.toggle("busy", state === "probing");
	row.play.href = playerOf(s);
	row.play.hidden = state === "failed" || state === "cancelled";
	row.cancel.hidden = !["probing", "making"].includes(state);
	row.retry.hidden = !["partial", "failed", "cancelled"].includes(state);
	setText(row.error, s.error || "");
	row.element.hidden = !isWanted(s);
}

function isWanted(s) {
	const text = $("filter").value.trim().toLowerCase(), states = FILTERS[$("state-filter").value];

	return (!states || states.includes(s.state)) && (!text || `${s.source} ${s.key} ${s.error || ""}`.toLowerCase().includes(text));
}

/* ---- details */

function facts(detail) {
	const o = Object.entries(detail.options || {}).filter(([, v]) => v !== null && v !== "" && v !== false);
	const list = [["Source", detail.source], ["Key", detail.key]];

	if (detail.duration)
		list.push(["Duration", clock(detail.duration)]);
	if (detail.created)
		list.push(["Accepted", new Date(typeof detail.created === "number" ? detail.created * 1000 : detail.created).toLocaleString()]);
	if (detail.owner)
		list.push(["Owner", String(detail.owner)]);
	if (o.length)
		list.push(["Options", o.map(([name, v]) => `${name} ${v}`).join(", ")]);
	return el("dl", { className: "facts" }, ...list.map(([name, v]) => el("div", {}, el("dt", { textContent: name }), el("dd", { textContent: v }))));
}

function links(detail) {
	const named = [["master", "HLS"], ["mpd", "DASH"], ["stream", "one MP4"]].filter(([name]) => detail.urls?.[name]);

	return el("p", { className: "links" }, ...named.map(([name, text]) => el("a", { href: detail.urls[name], textContent: text })));
}

/* What was given up, in words: under the map, for a map of 10,000 cells is no place to look for a sentence. */
function fillGaps(view) {
	const gaps = view.segments.map((s, i) => [s, i]).filter(([s]) => s.state === "gap");
	const items = gaps.slice(0, GAPS_SHOWN).map(([s, i]) => el("li", { textContent: describe(s, i) }));

	if (gaps.length > GAPS_SHOWN)
		items.push(el("li", { textContent: `and ${number(gaps.length - GAPS_SHOWN)} more` }));
	view.gaps.replaceChildren(...items);
}

function fillLegend(view) {
	const counts = Object.fromEntries(STATES.map((state) => [state, 0]));

	for (const s of view.segments)
		counts[s.state] = (counts[s.state] || 0) + 1;
	view.legend.replaceChildren(...STATES.filter((state) => counts[state]).map((state) =>
		el("li", {}, el("i", { className: state }), `${LEGEND[state]} ${number(counts[state])}`)));
}

function buildView(row, rendition) {
	const canvas = el("canvas", { className: "map" });
	const view = { segments: rendition.segments, legend: el("ul", { className: "legend" }), gaps: el("ul", { className: "gaps" }) };

	view.byName = new Map(rendition.segments.map((s, i) => [s.name, i]));
	view.element = el("div", { className: "rendition" }, el("h3", { textContent: rendition.title || rendition.name }), view.legend,
		el("div", { className: "mapbox" }, canvas), view.gaps);
	view.map = new SegmentMap(canvas, `Segments of ${nameOf(row.stream.source)}, rendition ${rendition.name}`,
		{ onChoose: (s) => location.assign(`${playerOf(row.stream)}#t=${s.start}`) });
	view.map.set(rendition.segments);
	fillLegend(view);
	fillGaps(view);
	return view;
}

async function load(row) {
	let detail;

	try {
		detail = await api(`/v1/streams/${row.stream.key}`);
	} catch (e) {
		if (e instanceof ApiError && e.status === 404)
			drop(row.stream.key);
		else
			row.details.replaceChildren(el("p", { className: "error", textContent: e.message }));
		return;
	}
	if (row !== open)
		return;
	row.views = new Map((detail.renditions || []).map((r) => [r.name, buildView(row, r)]));
	row.hasSegments = row.views.size > 0;
	row.details.replaceChildren(facts(detail), links(detail), ...[...row.views.values()].map((view) => view.element));
	put(detail);
}

/* Segments that are in another state than before. */
function take(row, renditions) {
	let isUnexplained = false;

	for (const { name, segments } of renditions) {
		const view = row.views?.get(name);

		if (!view)
			continue;
		for (const s of segments)
			if (view.byName.has(s.name))
				view.segments[view.byName.get(s.name)] = s;
		isUnexplained ||= segments.some((s) => s.state === "gap" && !s.reason);
		fillLegend(view);
		fillGaps(view);
		view.map.set(view.segments);
	}
	return isUnexplained;
}

/* Events have no reasons. */
async function explain(row) {
	const detail = await api(`/v1/streams/${row.stream.key}`).catch(() => null);

	if (detail && row === open)
		take(row, detail.renditions);
}

function close() {
	if (!open)
		return;
	open.stop();
	open.toggle.setAttribute("aria-expanded", "false");
	open.details.hidden = true;
	open.details.replaceChildren();
	open.views = null;
	open = null;
}

function toggle(row) {
	const isOpen = row === open;

	close();
	history.replaceState(null, "", isOpen ? location.pathname : `#${row.stream.key}`);
	if (isOpen)
		return;
	open = row;
	arrange();
	row.toggle.setAttribute("aria-expanded", "true");
	row.details.hidden = false;
	row.stop = follow(`/v1/events?stream=${row.stream.key}`, (event, data) => {
		if (event === "open" || event === "reset")
			load(row);
		else if (event === "segments")
			take(row, data.renditions) && explain(row);
	});
}

/* ---- the list */

function byAge(a, b) {
	return a.stream.created < b.stream.created ? 1 : a.stream.created > b.stream.created ? -1 : a.stream.key < b.stream.key ? -1 : 1;
}

export function put(stream) {
	let row = rows.get(stream.key);
	const hadPlan = row?.stream.segments > 0;

	if (!row) {
		row = { stream };
		rows.set(stream.key, row);
		build(row);
		arrange();
	}
	row.stream = { ...row.stream, ...stream };
	fill(row);
	if (row === open && !hadPlan && stream.segments > 0 && !row.hasSegments)
		load(row);
}

export function drop(key) {
	const row = rows.get(key);

	if (row === open)
		close();
	row?.element.remove();
	rows.delete(key);
	arrange();
}

/* Puts the rows in their order, soon. */
let isArranging = false;
function arrange() {
	if (isArranging)
		return;
	isArranging = true;
	requestAnimationFrame(() => {
		const wanted = [...rows.values()].filter((row) => isWanted(row.stream)).sort(byAge), shown = wanted.filter((row, i) => i < room || row === open);
		const list = $("streams"), focused = document.activeElement;

		isArranging = false;
		if (shown.length !== list.children.length || shown.some((row, i) => list.children[i] !== row.element)) {
			list.replaceChildren(...shown.map((row) => row.element));
			if (list.contains(focused))
				focused.focus();
		}
		for (const row of shown)
			row.element.hidden = false;
		$("more").hidden = wanted.length <= room;
		setText($("more"), `Show more of ${number(wanted.length)}`);
		$("streams-none").hidden = shown.length > 0;
		setText($("streams-none"), rows.size ? "No stream is like that." : "No stream yet. Submit a source above.");
		$("streams").dispatchEvent(new Event("change"));
	});
}

export function all() {
	return [...rows.values()].map((row) => row.stream);
}

export function find(key) {
	return rows.get(key)?.stream;
}

/* What is not in the list any more is gone. */
export function keep(keys) {
	for (const key of rows.keys())
		if (!keys.has(key))
			drop(key);
}

/* Shows the details of the stream that the address names, or of the only one there is. */
export function openFirst() {
	const row = rows.get(location.hash.slice(1)) || (rows.size === 1 ? rows.values().next().value : null);

	if (row && !open)
		toggle(row);
}

$("filter").addEventListener("input", arrange);
$("state-filter").addEventListener("change", arrange);
$("more").addEventListener("click", () => {
	room += 500;
	arrange();
});
