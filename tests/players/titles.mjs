/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Titles that are made for the players, each with what may go wrong with it; and real files, where a directory has some.
 */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { BUILD } from "./farm.mjs";

const SECONDS = 24;
const PICTURE = (rate, size = "640x360") => ["-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${rate}`];
const SOUND = (hz) => ["-f", "lavfi", "-i", `sine=frequency=${hz}:sample_rate=48000`];
const X264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "25"];

/* name, file, ffmpeg's arguments, which players have no decoder for it, and whether the quick run has it */
const MADE = [
	["H.264 and AAC", "h264-aac.mp4", [...PICTURE(25), ...SOUND(440), ...X264, "-bf", "0", "-c:a", "aac"], {}],
	["H.264 with B-frames at 23.976 and AC-3", "h264-ac3.mkv", [...PICTURE("24000/1001"), ...SOUND(330), ...X264, "-bf", "3", "-c:a", "ac3"], {}],
	["HEVC and AAC", "hevc.mkv", [...PICTURE(25), ...SOUND(550), "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=25", "-pix_fmt", "yuv420p", "-c:a", "aac"], {}],
	["VP9 and Opus, encoded again", "vp9.webm", [...PICTURE(25, "320x180"), ...SOUND(660), "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-c:a", "libopus"], {}],
	["sound alone", "sound.m4a", [...SOUND(440), "-c:a", "aac"], { isAudio: true }],
	["picture alone", "picture.mkv", [...PICTURE(30), ...X264, "-bf", "2"], {}],
	["variable frame rate", "vfr.mkv", [...PICTURE(30), ...SOUND(440), "-vf", "select='lt(mod(n,90),45)+not(mod(n,3))'", "-fps_mode", "vfr", ...X264, "-bf", "2", "-c:a", "aac"], {}],
	["two languages and subtitles", "tracks-ac3.mkv",
		[...PICTURE("24000/1001"), ...SOUND(440), ...SOUND(880), "-i", "SUBTITLES", "-map", "0", "-map", "1", "-map", "2", "-map", "3", ...X264, "-bf", "3", "-c:a", "ac3", "-c:s", "srt",
			"-metadata:s:a:0", "language=eng", "-metadata:s:a:0", "title=English", "-metadata:s:a:1", "language=deu", "-metadata:s:a:1", "title=Deutsch", "-metadata:s:s:0", "language=eng"],
		{ isQuick: true, audios: 2 }],
	["three languages without a picture", "sounds.mka",
		[...SOUND(440), ...SOUND(660), ...SOUND(880), "-map", "0", "-map", "1", "-map", "2", "-c:a:0", "aac", "-c:a:1", "ac3", "-c:a:2", "libopus", "-metadata:s:a:0", "language=eng",
			"-metadata:s:a:0", "title=English", "-metadata:s:a:1", "language=deu", "-metadata:s:a:1", "title=Deutsch", "-disposition:a:0", "0", "-disposition:a:1", "default", "-f", "matroska"],
		{ isQuick: true, isAudio: true, audios: 3 }],
];

function subtitles(file) {
	const stamp = (s) => `00:00:${String(s).padStart(2, "0")},000`;
	const cues = Array.from({ length: SECONDS / 2 }, (_, i) => `${i + 1}\n${stamp(2 * i)} --> ${stamp(2 * i + 1)}\nSubtitle ${i + 1}\n`);

	fs.writeFileSync(file, cues.join("\n"));
}

function make(dir, [name, file, args, facts]) {
	const to = path.join(dir, file), srt = path.join(dir, "subtitles.srt");

	if (!fs.existsSync(to)) {
		const part = path.join(dir, `part-${file}`);

		subtitles(srt);
		execFileSync("ffmpeg", ["-nostdin", "-v", "error", "-y", ...args.map((a) => a === "SUBTITLES" ? srt : a), "-t", String(SECONDS), part]);
		fs.renameSync(part, to);
	}
	return { name, file: to, ...facts };
}

export function makeTitles(isQuick) {
	const dir = path.join(BUILD, "players", "media");

	fs.mkdirSync(dir, { recursive: true });
	return MADE.filter(([, , , facts]) => facts.isQuick || !isQuick).map((title) => make(dir, title));
}

export const MEDIA = path.join(BUILD, "players", "media");

/* Some that players meet: long enough to seek in, short enough to play whole. */
export function realTitles(dir) {
	const wanted = /\.(mkv|mp4|webm|mov|ts)$/;

	if (!dir || !fs.existsSync(dir))
		return [];
	return fs.readdirSync(dir).filter((name) => wanted.test(name)).sort().flatMap((name) => {
		const file = path.join(dir, name);
		let seconds = 0;

		try {
			seconds = Number(execFileSync("ffprobe", ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file], { encoding: "utf8" }));
		} catch {
			return [];
		}
		return seconds >= 5 && seconds <= 600 ? [{ name, file, seconds, isReal: true }] : [];
	}).map((title, number) => ({ ...title, number }));
}
