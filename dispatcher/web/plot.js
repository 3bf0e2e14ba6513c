/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Plots of the last minutes: areas that lie on each other, the newest sample at the right end.
 */
import { colour, prepare, redrawOn } from "./common.js";

const HEIGHT = 84;
const FOOT = 14; /* for the words under it */

/* The next of 1, 2, 5, 10, 20, ...: an axis that does not jump with every sample. */
function ceiling(v) {
	const power = 10 ** Math.floor(Math.log10(Math.max(v, 1)));

	return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= v);
}

export class Plot {
	/* names: of the colours of the areas, the lowest first */
	constructor(canvas, names, unit) {
		this.canvas = canvas;
		this.names = names;
		this.unit = unit;
		this.rows = [];
		redrawOn(canvas, () => this.draw());
	}

	/* rows: a value for each area, the oldest first; as many as there is room for, stepMs apart */
	set(rows, room, stepMs) {
		this.rows = rows;
		this.room = room;
		this.span = room * stepMs / 1000;
		this.draw();
	}

	draw() {
		const width = this.canvas.clientWidth, rows = this.rows;

		if (!width || !this.room)
			return;
		const c = prepare(this.canvas, HEIGHT), high = HEIGHT - FOOT;
		const most = ceiling(Math.max(...rows.map((row) => row.reduce((a, b) => a + b, 0)), 1));
		const x = (i) => width - (rows.length - 1 - i) / (this.room - 1) * width, y = (v) => high - v / most * (high - 12);
		const base = rows.map(() => 0);

		c.strokeStyle = colour("line");
		c.beginPath();
		for (const v of [0, most / 2, most]) {
			c.moveTo(0, Math.round(y(v)) + 0.5);
			c.lineTo(width, Math.round(y(v)) + 0.5);
		}
		c.stroke();
		this.names.forEach((name, k) => {
			c.beginPath();
			for (let i = 0; i < rows.length; i++)
				c.lineTo(x(i), y(base[i] + rows[i][k]));
			for (let i = rows.length - 1; i >= 0; i--)
				c.lineTo(x(i), y(base[i]));
			c.fillStyle = colour(name);
			c.fill();
			rows.forEach((row, i) => base[i] += row[k]);
		});
		c.fillStyle = colour("faint");
		c.font = "11px system-ui, sans-serif";
		c.fillText(`${most.toLocaleString("en")}${this.unit}`, 0, 10);
		c.fillText(`${Math.round(this.span / 60)} min ago`, 0, HEIGHT - 2);
		c.textAlign = "right";
		c.fillText("now", width, HEIGHT - 2);
	}
}
