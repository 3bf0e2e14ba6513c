/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What both pages share: elements, times, the API with its token, server-sent events. Nothing from outside ever becomes markup:
 * text goes into text nodes.
 */
const TOKEN = "segfarm-token"; /* in sessionStorage: gone with the tab */

export const $ = (id) => document.getElementById(id);

/* An element; what in props is no property of it is an attribute. */
export function el(tag, props = {}, ...children) {
	const e = document.createElement(tag);

	for (const [name, value] of Object.entries(props))
		if (name in e && name !== "role")
			e[name] = value;
		else
			e.setAttribute(name, value);
	e.append(...children);
	return e;
}

/* Only what is another than before: nothing is painted, or read aloud, again. */
export function setText(e, text) {
	if (e.textContent !== text)
		e.textContent = text;
}

export function showTrouble(text) {
	$("trouble").hidden = !text;
	setText($("trouble"), text || "");
}

/* 1:02:03; with tenths where they are not 0 */
export function clock(seconds) {
	const tenths = Math.round(seconds * 10);
	const s = Math.floor(tenths / 10), two = (n) => String(n).padStart(2, "0");
	const text = s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;

	return tenths % 10 ? `${text}.${tenths % 10}` : text;
}

export function number(n) {
	return n.toLocaleString("en");
}

/* The last part of a path or URL. */
export function nameOf(source) {
	const path = /^https?:/.test(source) ? source.replace(/[?#].*/, "") : source;
	const parts = path.split("/").filter(Boolean);

	return parts.length ? parts[parts.length - 1] : source;
}

export function playerOf(stream) {
	return stream.urls?.player || `/player/${stream.key}`;
}

/* ---- the API */

export class ApiError extends Error {
	constructor(status, message) {
		super(message);
		this.status = status;
	}
}

/* What an answer that is not a good one says: a problem document (RFC 9457), or a line of text. */
export async function reasonOf(response) {
	const text = await response.text().catch(() => "");

	try {
		const problem = JSON.parse(text);

		return problem.detail || problem.title || `status ${response.status}`;
	} catch {
		return text.trim().slice(0, 300) || `status ${response.status}`;
	}
}

export function hasToken() {
	return Boolean(sessionStorage.getItem(TOKEN));
}

let asking = null;

/* Asks for the token; several requests that are refused at a time ask once. */
function askToken() {
	asking ||= new Promise((resolve) => {
		const input = el("input", { type: "password", required: true, autocomplete: "current-password", id: "token" });
		const form = el("form", {}, el("h2", { textContent: "Token" }),
			el("p", { textContent: hasToken() ? "This token is not accepted. Another one?" : "This farm wants a token. It is kept until this tab is closed." }),
			el("label", {}, "Token ", input), el("div", { className: "buttons" }, el("button", { className: "primary", textContent: "Go on" })));
		const dialog = el("dialog", { "aria-label": "Token" }, form);

		form.addEventListener("submit", (event) => {
			event.preventDefault();
			sessionStorage.setItem(TOKEN, input.value.trim());
			dialog.close();
		});
		dialog.addEventListener("close", () => {
			dialog.remove();
			asking = null;
			resolve(input.value.trim() !== "");
		});
		document.body.append(dialog);
		dialog.showModal();
	});
	return asking;
}

/* isQuiet: the token is not asked for. */
async function request(path, options, isQuiet) {
	for (;;) {
		const token = sessionStorage.getItem(TOKEN);
		const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
		const response = await fetch(path, { ...options, headers, cache: "no-store" });

		if (response.ok)
			return response;
		if (response.status !== 401 || isQuiet || !(await askToken()))
			throw new ApiError(response.status, await reasonOf(response));
	}
}

export async function api(path, { method = "GET", body, isQuiet = false } = {}) {
	const options = { method };

	if (body) {
		options.body = JSON.stringify(body);
		options.headers = { "Content-Type": "application/json" };
	}
	const response = await request(path, options, isQuiet);

	return response.headers.get("Content-Type")?.includes("json") ? response.json() : null;
}

/* ---- server-sent events, by fetch: an EventSource cannot send a token */

/* Calls on(event, data) for each event of a body, until it ends. */
async function readEvents(body, on) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	let text = "";

	for (;;) {
		const { value, done } = await reader.read();

		if (done)
			return;
		const blocks = (text + value).split("\n\n");

		text = blocks.pop();
		for (const block of blocks) {
			const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/s, 2)));

			if (fields.event && fields.data)
				on(fields.event, JSON.parse(fields.data));
		}
	}
}

const sleep = (ms, signal) => new Promise((resolve) => {
	setTimeout(resolve, ms);
	signal.addEventListener("abort", resolve, { once: true });
});

/* Follows the events of a path, again and again, while the page can be seen: on("open", {}) comes first each time, and on("closed",
 * {reason}) when they end. Returns what stops it. */
export function follow(path, on, isQuiet = false) {
	let controller = null, isOver = false;

	async function run(own) {
		for (let waitMs = 500; !own.signal.aborted; waitMs = Math.min(waitMs * 2, 8000)) {
			let reason = "the connection was closed";

			try {
				const response = await request(path, { signal: own.signal }, isQuiet);

				waitMs = 500;
				on("open", {});
				await readEvents(response.body, on);
			} catch (e) {
				reason = e instanceof ApiError ? e.message : "no connection";
				if (isQuiet && e.status >= 400 && e.status < 500)
					return;
			}
			if (!own.signal.aborted)
				on("closed", { reason });
			await sleep(waitMs, own.signal);
		}
	}
	function start() {
		controller?.abort();
		controller = null;
		if (!isOver && !document.hidden)
			run(controller = new AbortController());
	}
	document.addEventListener("visibilitychange", start);
	start();
	return () => {
		isOver = true;
		document.removeEventListener("visibilitychange", start);
		controller?.abort();
	};
}

/* ---- canvases */

/* Calls draw when the element has another size, or the colours are others. */
export function redrawOn(element, draw) {
	new ResizeObserver(draw).observe(element);
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

/* Its pixels as wide as the screen's; a context that counts CSS pixels. height: CSS pixels. */
export function prepare(canvas, height) {
	const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth;

	canvas.style.height = `${height}px`;
	canvas.width = Math.round(width * ratio);
	canvas.height = Math.round(height * ratio);
	const context = canvas.getContext("2d");

	context.scale(ratio, ratio);
	return context;
}

export function colour(name) {
	return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
