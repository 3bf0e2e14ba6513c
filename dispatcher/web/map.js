/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The map of a title's segments: a canvas of cells, one a segment, that pointer and keys go over. To assistive technology it is a
 * slider whose value is a segment, spoken as what the tooltip says. 10,000 segments are drawn within a frame.
 */
import { clock, colour, el, prepare, redrawOn } from "./common.js";

export const STATES = ["made", "running", "queued", "missing", "gap"];
const WORDS = { made: "made", running: "being made", queued: "in the queue", missing: "not made", gap: "given up" };
const SIZES = [[240, 16], [900, 12], [3000, 9], [Infinity, 6]]; /* up to so many segments: pixels of a cell */

export function describe(segment, i) {
	const end = segment.start + segment.duration;
	let text = `Segment ${i + 1}, ${clock(segment.start)} to ${clock(end)}: ${WORDS[segment.state] || segment.state}`;

	if (segment.attempts > 1)
		text += ` after ${segment.attempts} attempts`;
	return segment.reason ? `${text}: ${segment.reason}` : text;
}

/* One cell; what has gone wrong differs by more than its colour. */
function drawCell(c, colours, state, x, y, w, h) {
	c.fillStyle = colours[state] || colours.missing;
	c.fillRect(x, y, w, h);
	if (state === "gap" && w > 4) {
		c.strokeStyle = colours.paper;
		c.lineWidth = 1.5;
		c.beginPath();
		c.moveTo(x + 1.5, y + h - 1.5);
		c.lineTo(x + w - 1.5, y + 1.5);
		c.stroke();
	}
}

export class SegmentMap {
	/* onChoose(segment, i): Enter or a click. isStrip: one row, as wide as the times are. */
	constructor(canvas, label, { onChoose = () => {}, isStrip = false } = {}) {
		this.canvas = canvas;
		this.isStrip = isStrip;
		this.segments = [];
		this.at = -1;
		this.onChoose = onChoose;
		this.tip = el("div", { className: "tip", hidden: true });
		canvas.after(this.tip);
		canvas.tabIndex = 0;
		canvas.setAttribute("role", "slider");
		canvas.setAttribute("aria-label", label);
		canvas.addEventListener("pointermove", (e) => this.point(this.under(e)));
		canvas.addEventListener("pointerleave", () => this.point(-1));
		canvas.addEventListener("blur", () => this.point(-1));
		canvas.addEventListener("focus", () => this.point(Math.max(this.at, 0)));
		canvas.addEventListener("click", () => this.choose());
		canvas.addEventListener("keydown", (e) => this.key(e));
		redrawOn(canvas, () => this.draw());
	}

	set(segments) {
		this.segments = segments;
		this.canvas.setAttribute("aria-valuemin", 1);
		this.canvas.setAttribute("aria-valuemax", segments.length);
		this.point(Math.min(this.at, segments.length - 1));
	}

	/* Soon: many segments change at once. */
	draw() {
		this.frame ||= requestAnimationFrame(() => {
			this.frame = 0;
			this.paint();
		});
	}

	place(i) {
		const s = this.segments[i], x0 = s.start / this.duration * this.width, x1 = (s.start + s.duration) / this.duration * this.width;

		if (this.isStrip)
			return [x0, 0, Math.max(x1 - x0 - (x1 - x0 > 4 ? 1 : 0), 0.5), this.cell];
		return [i % this.columns * this.cell, Math.floor(i / this.columns) * this.cell, this.cell - 2, this.cell - 2];
	}

	paint() {
		const n = this.segments.length, last = this.segments[n - 1];

		this.width = this.canvas.clientWidth;
		if (!n || !this.width)
			return;
		this.duration = last.start + last.duration;
		this.cell = this.isStrip ? 14 : SIZES.find(([most]) => n <= most)[1];
		this.columns = Math.max(1, Math.floor((this.width + 2) / this.cell));
		const c = prepare(this.canvas, this.isStrip ? this.cell : Math.ceil(n / this.columns) * this.cell);
		const colours = Object.fromEntries([...STATES, "paper", "ink"].map((name) => [name, colour(name)]));

		for (let i = 0; i < n; i++)
			drawCell(c, colours, this.segments[i].state, ...this.place(i));
		if (this.now !== undefined && this.isStrip) {
			c.fillStyle = colours.ink;
			c.fillRect(this.now / this.duration * this.width - 1, 0, 2, this.cell);
		}
		if (this.at >= 0) {
			const [x, y, w, h] = this.place(this.at);

			c.strokeStyle = colours.ink;
			c.lineWidth = 2;
			c.strokeRect(x + 0.5, y + 0.5, Math.max(w - 1, 1), h - 1);
		}
	}

	under(event) {
		const box = this.canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;

		if (this.isStrip)
			return this.segments.findLastIndex((s) => s.start <= x / box.width * this.duration);
		const column = Math.floor(x / this.cell), i = Math.floor(y / this.cell) * this.columns + column;

		return column < this.columns && i < this.segments.length ? i : -1;
	}

	point(i) {
		this.at = i;
		this.tip.hidden = i < 0;
		if (i >= 0) {
			const text = describe(this.segments[i], i), [x, y, w, h] = this.width ? this.place(i) : [0, 0, 0, 0];

			this.tip.textContent = text;
			this.tip.style.top = `${this.canvas.offsetTop + y + h + 6}px`;
			this.tip.style.left = `${this.canvas.offsetLeft + Math.max(0, Math.min(x + w / 2 - this.tip.offsetWidth / 2, this.width - this.tip.offsetWidth))}px`;
			this.canvas.setAttribute("aria-valuenow", i + 1);
			this.canvas.setAttribute("aria-valuetext", text);
		}
		this.draw();
	}

	choose() {
		if (this.at >= 0)
			this.onChoose(this.segments[this.at], this.at);
	}

	key(event) {
		const n = this.segments.length, row = this.isStrip ? 10 : this.columns;
		const to = { ArrowLeft: this.at - 1, ArrowRight: this.at + 1, ArrowUp: this.at - row, ArrowDown: this.at + row,
			     PageUp: this.at - 10 * row, PageDown: this.at + 10 * row, Home: 0, End: n - 1 }[event.key];

		if (event.key === "Enter")
			this.choose();
		else if (to !== undefined && n)
			this.point(Math.max(0, Math.min(n - 1, to)));
		else
			return;
		event.preventDefault();
		event.stopPropagation();
	}
}
