/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Players that are programs: each has to play the whole title without a word of complaint.
 */
import { spawn } from "node:child_process";

const LIMIT_MS = 180000;

function run(program, args) {
	return new Promise((resolve) => {
		const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
		const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
		let out = "", err = "";

		child.stdout.on("data", (data) => out += data);
		child.stderr.on("data", (data) => err += data);
		child.on("error", (e) => resolve({ status: -1, out, err: e.message }));
		child.on("close", (status, signal) => {
			clearTimeout(timer);
			resolve({ status: signal || status, out, err: err.trim() });
		});
	});
}

/* The end of what it has decoded, in seconds. */
async function ffmpeg(url) {
	const { status, out, err } = await run("ffmpeg", ["-nostdin", "-v", "error", "-xerror", "-i", url, "-map", "0:v?", "-map", "0:a?", "-fps_mode", "passthrough", "-progress", "pipe:1", "-f", "null", "-"]);
	const last = [...out.matchAll(/out_time_us=(\d+)/g)].pop();

	return { errors: status || err ? [`status ${status} ${err.slice(0, 300)}`] : [], end: last && last[1] / 1e6 };
}

async function mpv(url) {
	const { status, out, err } = await run("mpv", ["--no-config", "--vo=null", "--ao=null", "--ao-null-untimed=yes", "--untimed", "--msg-level=all=warn", "--term-status-msg=END ${=time-pos}", url]);
	const said = `${out}\n${err}`, bad = said.split(/[\r\n]/).filter((line) => /error|fail|invalid|corrupt/i.test(line));

	return { errors: status || bad.length ? [`status ${status} ${bad.slice(0, 3).join("; ")}`] : [] };
}

/* A title of one segment may be there before GStreamer 1.22 has the pads that it goes to ("Can't push EOS on non-exposed pad"); then it
 * says that it could not download it, or fails an assertion of its own. So it does, as often, with the same files behind nginx: 2 times
 * of 60. It may try once more. */
async function gstreamer(url) {
	const first = await playbin(url);

	return first.errors.length && /gstplaybin3|download fragments/.test(first.errors[0]) ? playbin(url) : first;
}

async function playbin(url) {
	const { status, out, err } = await run("gst-launch-1.0", ["playbin3", `uri=${url}`, "video-sink=fakesink sync=false", "audio-sink=fakesink sync=false"]);
	const isOver = /Got EOS from element/.test(out), bad = `${out}\n${err}`.split("\n").filter((line) => /^ERROR|WARNING: from/.test(line));

	return { errors: status || !isOver || bad.length ? [`status ${status} ${bad.slice(0, 2).join("; ") || err.slice(0, 200)}`] : [] };
}

export const programs = { ffmpeg, mpv, gstreamer };
