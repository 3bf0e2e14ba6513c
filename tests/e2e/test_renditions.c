/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Titles with several audio tracks, and with subtitles: what their renditions hold, in files and over HTTP.
 */
#include "tests/e2e/cluster.h"
#include "tests/e2e/defects.h"
#include "tests/e2e/media.h"
#include "tests/e2e/sh.h"
#include "tests/suites.h"
#include "tests/worker/mkv_build.h"
#include "tests/worker/mkv_rewrite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- media: sound that begins 0.2 s after the video, so that the title begins where it does with each of the tracks alone */

#define SUBTITLES \
	"printf '1\\n00:00:00,500 --> 00:00:02,000\\nHello <i>world</i> & <b>x</b> --> \"y\"\\n\\n2\\n00:00:04,500 --> 00:00:07,250\\nAcross\\nthe border\\n\\n" \
	"3\\n00:00:13,000 --> 00:00:14,500\\n{\\\\an8}<font color=\"red\">top</font>\\n\\n4\\n00:00:15,000 --> 00:00:17,000\\n-->\\n\\n' > \"$OUT.srt\" && " \
	"printf 'WEBVTT\\n\\n00:00.500 --> 00:02.000 line:0\\nHello <i>world</i> &amp; <b>x</b> --&gt; \"y\"\\n\\n00:04.500 --> 00:07.250\\nAcross\\nthe border\\n\\n" \
	"00:13.000 --> 00:14.500\\n<c.red>top</c>\\n\\n00:15.000 --> 00:17.000\\n--&gt;\\n\\n' > \"$OUT.vtt\" && "
#define VIDEO "-f lavfi -i \"$V,scale=320:180\" "
#define LATE_SOUND "-itsoffset 0.2 -f lavfi -i \"$A\" -itsoffset 0.2 -f lavfi -i \"$A,adelay=300,volume=0.5\" "
#define PLAIN_X264 "-c:v libx264 -preset ultrafast -bf 2 -g 48 "

#define SEVERAL                                                                                                              \
	SUBTITLES FFMPEG VIDEO LATE_SOUND "-i \"$OUT.srt\" -i \"$OUT.vtt\" -t 20 -map 0 -map 1 -map 2 -map 1 -map 3 -map 3 -map 4 " PLAIN_X264           \
	"-c:a:0 ac3 -c:a:1 aac -ar:a:1 44100 -ac:a:1 2 -c:a:2 libopus -ac:a:2 2 -c:s:0 srt -c:s:1 ass -c:s:2 copy "         \
	"-metadata:s:a:0 language=eng -metadata:s:a:0 title='Main \"mix\"' -metadata:s:a:1 language=ger "                    \
	"-metadata:s:s:0 language=eng -metadata:s:s:1 language=ger -metadata:s:s:1 title=Schilder -metadata:s:s:2 language=pt-BR " \
	"-disposition:a:0 0 -disposition:a:1 default -disposition:a:2 0 -disposition:s:0 0 -disposition:s:1 forced+default -disposition:s:2 0 " \
	"-f matroska \"$OUT\"; r=$?; rm \"$OUT.srt\" \"$OUT.vtt\"; exit $r"

#define ONE                                                                                                                    \
	SUBTITLES FFMPEG VIDEO LATE_SOUND "-i \"$OUT.srt\" -t 20 -map 0 -map 2 -map 3 -map 3 " PLAIN_X264                               \
	"-c:a aac -ac 2 -c:s mov_text -metadata:s:s:0 language=fra -metadata:s:s:1 language=spa -f mp4 \"$OUT\"; r=$?; rm \"$OUT.srt\" \"$OUT.vtt\"; exit $r"

/* Sound alone: all begin at the same sample. */
#define SOUNDS                                                                                                                 \
	FFMPEG SOUND "-f lavfi -i \"$A,volume=0.5\" -t 20 -map 0 -ac 2 \"$OUT.aac\" -t 20 -map 1 \"$OUT.ac3\" -t 20 -map 0 -ac 2 \"$OUT.opus\" && " \
	"mkvmerge -q -o \"$OUT\" --language 0:eng --default-track-flag 0:0 \"$OUT.aac\" --language 0:ger --track-name 0:Kommentar \"$OUT.ac3\" " \
	"--language 0:und --default-track-flag 0:0 \"$OUT.opus\"; r=$?; rm \"$OUT.aac\" \"$OUT.ac3\" \"$OUT.opus\"; exit $r"

static const char *several, *one, *sounds;
static char *several_out, *one_out, *sounds_out; /* what is made of them */

static char *run(const char *title, const char *name)
{
	char *out = strdup(defects_scratch(name));

	free(sh("rm -rf '%s' && $SEGFARM run '%s' -o '%s'", out, title, out));
	return out;
}

/* Shell functions: join RENDITION of DIR into a file; the decoded sound, the packets, the pictures of a file; time and hash of each packet of a
 * track of sound. */
#define TOOLS                                                                                                                  \
	"join() { cat \"$1/init.mp4\" $(ls -v \"$1\"/*.m4s); }; sound() { ffmpeg -v error -i \"$1\" -map 0:a -f md5 -; }; "           \
	"packets() { ffmpeg -v error -i \"$1\" -map 0:a -c copy -f md5 -; }; pictures() { ffmpeg -v error -i \"$1\" -map 0:v -f framemd5 -; }; " \
	"frames() { ffmpeg -v error -copyts -i \"$1\" -map 0:a:$2 -c copy -f framemd5 - | "                                          \
	"awk -F'[ ,/]+' '/^#tb/ { tb = $3 / $4 } !/^#/ { print $3 * tb, $6 }'; }; vtt() { ls -v \"$1\"/*.vtt | xargs -n 1 tail -n +4 ; }; "

/* ---- audio */

START_TEST(each_track_is_a_rendition_with_its_name_and_one_is_the_default)
{
	char *master = sh("cat '%s/master.m3u8'", several_out);

	ck_assert_msg(strstr(master, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Main 'mix'\",LANGUAGE=\"en\",DEFAULT=NO,AUTOSELECT=YES,"
				     "CHANNELS=\"2\",URI=\"audio-1/index.m3u8\"\n"
				     "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"de\",LANGUAGE=\"de\",DEFAULT=YES,AUTOSELECT=YES,"
				     "CHANNELS=\"2\",URI=\"audio-2/index.m3u8\"\n"
				     "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio\",DEFAULT=NO,AUTOSELECT=YES,"
				     "CHANNELS=\"2\",URI=\"audio-3/index.m3u8\"\n"
				     "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",NAME=\"en\",LANGUAGE=\"en\",DEFAULT=NO,AUTOSELECT=YES,"
				     "FORCED=NO,URI=\"text-1/index.m3u8\"\n"
				     "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",NAME=\"Schilder\",LANGUAGE=\"de\",DEFAULT=YES,AUTOSELECT=YES,"
				     "FORCED=YES,URI=\"text-2/index.m3u8\"\n"
				     "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",NAME=\"pt-BR\",LANGUAGE=\"pt-BR\",DEFAULT=NO,AUTOSELECT=YES,"
				     "FORCED=NO,URI=\"text-3/index.m3u8\"\n#EXT-X-STREAM-INF:"),
		      "%s", master);
	ck_assert_msg(strstr(master, ",AUDIO=\"audio\",SUBTITLES=\"text\"\nvideo/index.m3u8\n") && strstr(master, ",mp4a.40.2\",RESOLUTION"), "%s", master);
	free(master);
	/* the same cuts in all of them; none is shorter or longer than the video by more than a frame of audio */
	free(sh("cd '%s' && total() { awk -F'[:,]' '/EXTINF/ { t += $2 } END { printf \"%%d\\n\", t * 1000000 + 0.5 }' $1/index.m3u8; }; "
		"for r in audio-* text-* video; do grep -v '^#' $r/index.m3u8 | sed 's/[.].*//' > /dev/fd/3; "
		"more=$(($(total $r) - $(total video))); test $more -gt -23300 && test $more -lt 23300 || exit 1; "
		"(cd $r && grep -v '^#' index.m3u8 | xargs ls > /dev/null) || exit 1; done 3> names; "
		"test $(sort -u names | wc -l) = $(grep -c EXTINF video/index.m3u8); r=$?; rm -f names; exit $r",
		several_out));
}
END_TEST

/* The video is that of the title in one rendition, and each track is what it is alone: but for the silence in front of copied sound,
 * so that it begins with the video. */
START_TEST(renditions_hold_what_each_track_alone_gives)
{
	for (int n = 1; n <= 3; n++)
		free(sh(TOOLS "mkdir -p '%s' && cd '%s' && $SEGFARM run '%s' -o alone --audio-track %d 2>&1 && join alone/main > alone.mp4 && "
			      "join '%s/audio-%d' > own.mp4 && "
			      "if [ %d = 2 ]; then "
			      "ffmpeg -v error -i alone.mp4 -map 0:a -c copy -f framemd5 - | grep -v '^#' | sed 's/.*,//' > alone.f && "
			      "ffmpeg -v error -i own.mp4 -map 0:a -c copy -f framemd5 - | grep -v '^#' | sed 's/.*,//' > own.f && "
			      "tail -n $(wc -l < alone.f) own.f | cmp - alone.f && test $(($(wc -l < own.f) - $(wc -l < alone.f))) -le 9; "
			      "else packets alone.mp4 > alone.f && packets own.mp4 | cmp - alone.f && sound alone.mp4 > alone.f && sound own.mp4 | cmp - alone.f; fi && "
			      "join '%s/video' > video.mp4 && pictures alone.mp4 > alone.f && pictures video.mp4 | cmp - alone.f && rm -rf alone",
			defects_scratch("alone"), defects_scratch("alone"), several, n + 1, several_out, n, n, several_out));
}
END_TEST

START_TEST(one_audio_track_stays_with_the_video)
{
	free(sh("cd '%s' && ls | tr '\\n' ' ' | grep -qx 'main manifest.mpd master.m3u8 text-1 text-2 ' && grep -q 'SUBTITLES=\"text\"$' master.m3u8 && "
		"! grep -q TYPE=AUDIO master.m3u8 && test $(ffprobe -v error -show_entries stream=codec_type -of csv=p=0 main/init.mp4 | wc -l) = 2",
		one_out));
}
END_TEST

START_TEST(without_video_each_track_is_a_rendition_and_the_default_one_the_variant)
{
	char *master = sh("cat '%s/master.m3u8'", sounds_out);

	ck_assert_msg(strstr(master, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"en\",LANGUAGE=\"en\",DEFAULT=NO,AUTOSELECT=YES,"
				     "CHANNELS=\"2\",URI=\"audio-1/index.m3u8\"\n"
				     "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Kommentar\",LANGUAGE=\"de\",DEFAULT=YES,AUTOSELECT=YES,"
				     "CHANNELS=\"2\"\n"
				     "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio\",DEFAULT=NO,AUTOSELECT=YES,"
				     "CHANNELS=\"2\",URI=\"audio-3/index.m3u8\"\n#EXT-X-STREAM-INF:"),
		      "%s", master);
	ck_assert_msg(strstr(master, ",CODECS=\"mp4a.40.2\",AUDIO=\"audio\"\naudio-2/index.m3u8\n"), "%s", master);
	free(master);
	free(sh("cd '%s' && ls | tr '\n' ' ' | grep -qx 'audio-1 audio-2 audio-3 manifest.mpd master.m3u8 ' && xmllint --noout manifest.mpd && "
		"test $(grep -c '<AdaptationSet' manifest.mpd) = 3",
		sounds_out));
}
END_TEST

/* Each as if it were the variant. */
static void check_rendition(const char *dir, int n, struct hls *h)
{
	free(sh("rm -rf '%s' && cp -r '%s' '%s' && sed -i 's|^audio-[0-9]*/|audio-%d/|' '%s/master.m3u8'", defects_scratch("one"), dir,
		defects_scratch("one"), n, defects_scratch("one")));
	hls_load(h, defects_scratch("one"));
	hls_check_stream(h);
	ck_assert_int_eq(h->n_tracks, 1);
}

/* Copied, packets are the file's, at their times, but for silence behind AAC; encoded, they are what each track alone gives. */
START_TEST(sounds_without_video_are_those_of_the_source)
{
	static const char *const options[] = { "", "--audio copy" };
	char *out = strdup(defects_scratch("sounds-of"));
	struct hls h;

	free(sh("rm -rf '%s' && $SEGFARM run '%s' -o '%s' %s", out, sounds, out, options[_i]));
	for (int n = 1; n <= 3; n++) {
		check_rendition(out, n, &h);
		ck_assert_uint_eq(h.n_segments, 4);
		hls_free(&h);
		free(sh(TOOLS "cd '%s' && join audio-%d > own.mp4 && frames own.mp4 0 > own.f && if [ %d = 1 ] || [ '%s' ]; then frames '%s' %d > source.f; else "
			      "$SEGFARM run '%s' -o alone --audio-track %d 2>&1 && join alone/main > alone.mp4 && frames alone.mp4 0 > source.f; fi && "
			      "awk 'NR == FNR { t[NR] = $1; h[NR] = $2; n = NR; next } ++k > n { extra++; next } "
			      "{ d = $1 - t[k]; if (h[k] != $2 || d > 0.0011 || d < -0.0011) bad = 1 } "
			      "END { exit bad || n < 600 || k < n || extra > 2 }' source.f own.f",
			out, n, n, options[_i], sounds, n - 1, sounds, n));
	}
	free(out);
}
END_TEST

/* A commentary over the first ten of 20 s, and one that begins after ten: copied AAC, encoded AC-3. The file has one that cannot be played. */
#define SHORT                                                                                                                  \
	FFMPEG VIDEO COMMENTED "-map 0 -map 1 -map 1 -map 2 -map 3 -t 20 " PLAIN_X264 "-ac 2 -c:a aac -c:a:1 ac3 -f matroska \"$OUT\""
#define COMMENTED "-t 10 -f lavfi -i \"$A\" -itsoffset 10 -t 10 -f lavfi -i \"$A\" -f lavfi -i \"$A\" "
#define SHORT_SOUND(format) FFMPEG COMMENTED "-map 0 -map 0 -map 1 -map 2 -t 20 -ac 2 -c:a aac " format " \"$OUT\""

static const struct {
	const char *name, *command;
} shorts[] = {
	{ "renditions_short.mkv", SHORT },
	{ "renditions_short.mka", SHORT_SOUND("-c:a:1 ac3 -f matroska") },
	{ "renditions_short.m4a", SHORT_SOUND("-f ipod") },
};

START_TEST(a_track_that_is_shorter_than_the_title_is_filled_with_silence)
{
	char *out = run(media_make(shorts[_i].name, shorts[_i].command), "short");

	/* as long as the title, with a sample in every segment, and silent where the track is not */
	free(sh(TOOLS "cd '%s' && for n in 1 2 3 4; do test $(ls audio-$n/*.m4s | wc -l) = $(ls $(sed -n '$s|/.*||p' master.m3u8)/*.m4s | wc -l) && join audio-$n > a.mp4 && "
		      "ffprobe -v error -show_entries packet=pts_time -of csv=p=0 a.mp4 | awk '"
		      "NR == 1 && $1 > 0.05 || NR > 1 && ($1 - e > 0.0235 || $1 - e < 0.02) { bad = 1 } { e = $1 } "
		      "END { exit bad || e < 19.9 }' || exit 1; "
		      "from=$([ $n = 3 ] && echo 1 || echo 11); [ $n = 4 ] || ffmpeg -nostdin -ss $from -t 8 -i a.mp4 -af volumedetect -f null - 2>&1 | "
		      "grep -q 'max_volume: -[6-9][0-9]' || exit 1; done",
		out));
	free(out);
}
END_TEST

/* ---- subtitles */

#define CUE(start, end, text) "00:00:" start " --> 00:00:" end "\n" text "\n"
#define FIRST CUE("00.500", "02.000", "Hello <i>world</i> &amp; <b>x</b> --&gt; \"y\"")
#define SECOND CUE("04.500", "07.250", "Across\nthe border")
#define FOURTH CUE("15.000", "17.000", "--&gt;")

static const struct {
	bool is_mp4;
	const char *rendition;
} texts[] = { { false, "text-1" }, { false, "text-2" }, { false, "text-3" }, { true, "text-1" }, { true, "text-2" } };

START_TEST(cues_are_those_of_the_source_in_every_segment_that_shows_them)
{
	const char *out = texts[_i].is_mp4 ? one_out : several_out;
	char *got = sh(TOOLS "vtt '%s/%s'", out, texts[_i].rendition);
	ck_assert_str_eq(got, FIRST "\n" SECOND SECOND CUE("13.000", "14.500", "top") "\n" FOURTH);
	free(got);
	free(sh("cd '%s/%s' && for f in *.vtt; do head -n 2 $f | tr '\\n' ' ' | grep -qx 'WEBVTT X-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000 ' || exit 1; done; "
		"test $(grep -l 'Across' *.vtt | wc -l) = 2",
		out, texts[_i].rendition));
}
END_TEST

/* A cue that stands for most of the title, beside short ones: found where Cues tell of it (Matroska as ffmpeg writes it), where all headers
 * are read (the same without Cues), and in libavformat's containers. */
#define LONG(subtitles, more)                                                                                                  \
	"printf '" subtitles "' > \"$OUT.srt\" && " FFMPEG "-f lavfi -i \"$V,scale=160:90\" -f lavfi -i \"$A\" -i \"$OUT.srt\" "   \
	"-map 0 -map 1 -map 2 -t 40 " PLAIN_X264 "-c:a aac " more " \"$OUT\"; r=$?; rm \"$OUT.srt\"; exit $r"
#define SRT(n, start, end, text) #n "\\n00:00:" #start ",000 --> 00:00:" #end ",000\\n" text "\\n\\n"
#define OVER SRT(1, 01, 38, "Stands") SRT(2, 03, 04, "Short") SRT(3, 33, 34, "Late")
#define APART SRT(1, 01, 31, "Stands") SRT(2, 32, 33, "Short") SRT(3, 34, 35, "Late") /* in MP4 a cue ends where the next one begins */

static const struct {
	const char *name, *command;
	int end; /* s, of the long one */
} longs[] = {
	{ "long_cues.mkv", LONG(OVER, "-c:s srt -f matroska"), 38 },
	{ "long_live.mkv", LONG(OVER, "-c:s srt -live 1 -f matroska"), 38 },
	{ "long_cue.mp4", LONG(APART, "-c:s mov_text -f mp4"), 31 },
};

START_TEST(a_cue_that_stands_for_long_is_in_every_segment_that_shows_it)
{
	char *out = run(media_make(longs[_i].name, longs[_i].command), longs[_i].name);

	free(sh("cd '%s/text-1' && test $(ls *.vtt | wc -l) -ge 6 && "
		"for f in *.vtt; do s=${f%%-*}; n=$(grep -c '^Stands$' $f); if [ $s -ge $((%d * 90000)) ]; then test $n = 0; else test $n = 1; fi || exit 1; done; "
		"test $(grep -l '^Late$' *.vtt | wc -l) = 1 && test $(grep -l '^Short$' *.vtt | wc -l) = 1",
		out, longs[_i].end));
	free(out);
}
END_TEST

/* The first subtitles are said to be pictures, and the first sound to be of a codec that nobody knows. */
static bool put_unknown(struct buf *to, uint64_t type, uint32_t id, struct bytes value)
{
	static const char text[] = "S_TEXT/UTF8", sound[] = "A_AC3";

	(void)type;
	if (id != 0x86 || !value.size)
		return false;
	if (value.size == strlen(text) && !memcmp(value.data, text, value.size))
		mkv_put_string(to, id, "S_HDMV/PGS");
	else if (value.size == strlen(sound) && !memcmp(value.data, sound, value.size))
		mkv_put_string(to, id, "A_UNKNOWN");
	else
		return false;
	return true;
}

START_TEST(tracks_that_cannot_be_played_are_left_out_and_the_log_says_so)
{
	const struct rewrite how = { .put_child = put_unknown };
	char *title = strdup(defects_scratch("unknown.mkv")), *out = strdup(defects_scratch("unknown"));

	mkv_rewrite_file(several, title, &how);
	free(sh("rm -rf '%s' && $SEGFARM run -v '%s' -o '%s' 2> '%s.log' > /dev/null && cd '%s' && "
		"ls | tr '\\n' ' ' | grep -qx 'audio-1 audio-2 manifest.mpd master.m3u8 text-1 text-2 video ' && grep -q 'NAME=\"Schilder\"' master.m3u8 && "
		"grep -q 'audio is left out.*codec=A_UNKNOWN' '%s.log' && grep -q 'subtitles are left out.*codec=S_HDMV/PGS' '%s.log'; "
		"r=$?; rm '%s.log'; exit $r",
		out, title, out, out, out, out, out, out));
	free(title);
	free(out);
}
END_TEST

/* ---- over HTTP */

static struct cluster s;
static char *key;

static int get(const char *path)
{
	char file[64];

	snprintf(file, sizeof file, "%s/got", s.serve[0].dir);
	return cluster_get(&s, 0, path, file);
}

static int get_of(const char *what)
{
	char path[200];

	snprintf(path, sizeof path, "/hls/%s/%s", key, what);
	return get(path);
}

static void check_head(const char *what, const char *line)
{
	free(sh("curl -sSf --max-time 100 -D - -o /dev/null '%s/hls/%s/%s' | grep -qi '^%s'", s.root[0], key, what, line));
}

static void start(const char *title, const char *fault, const char *more)
{
	char *options;

	setenv("SEGFARM_FAULT", fault, 1);
	ck_assert_int_ge(asprintf(&options, "%s '%s'", more, title), 0);
	cluster_open(&s);
	cluster_serve(&s, 0, options);
	key = cluster_key(&s, 0);
	cluster_pool(&s, 0, 2);
	unsetenv("SEGFARM_FAULT");
	free(options);
}

static void end(void)
{
	cluster_close(&s);
	free(key);
}

START_TEST(an_audio_segment_that_cannot_be_made_is_a_gap_of_its_own_playlist)
{
	char *told;

	start(several, "crash:540000:audio-2", "");
	bg_wait_until(cluster_redis(&s, "HLEN segfarm:{%s}:fails", key) == 1, "not given up");
	for (int n = 1; n <= 3; n++)
		bg_wait_until(cluster_redis(&s, "HLEN segfarm:{%s}:segs:audio-%d", key, n) == (n == 2 ? 3 : 4), "audio %d is not made", n);
	bg_wait_until(cluster_redis(&s, "EVAL \"return redis.call('HGET', 'segfarm:{%s}:stream', 'state') == 'partial' and 1 or 0\" 0", key) == 1,
		      "the rest is not made");
	ck_assert_int_eq(cluster_redis(&s, "HLEN segfarm:{%s}:segs:video", key), 4);
	ck_assert_int_eq(get_of("audio-2/index.m3u8"), 200);
	free(sh("grep -A2 -x '#EXT-X-GAP' '%s/got' | tail -n 1 | grep -qx 540000-540000.m4s && test $(grep -c GAP '%s/got') = 1", s.serve[0].dir,
		s.serve[0].dir));
	ck_assert_int_eq(get_of("video/index.m3u8"), 200);
	free(sh("! grep GAP '%s/got'", s.serve[0].dir));
	ck_assert_int_eq(get_of("audio-1/index.m3u8"), 200);
	free(sh("! grep GAP '%s/got'", s.serve[0].dir));
	ck_assert_int_eq(cluster_admin(&s, &told, "status", key), 0);
	ck_assert_msg(strstr(told, "partial") && strstr(told, "quarantined: audio-2 540000-540000 after "), "%s", told);
	free(told);
	/* nothing of any rendition is left of a stream that is removed */
	ck_assert_int_eq(cluster_admin(&s, NULL, "rm", key), 0);
	bg_wait_until(cluster_redis(&s, "EVAL \"return #redis.call('KEYS', 'segfarm:{%s}*')\" 0", key) == 0, "something is left");
	end();
}
END_TEST

START_TEST(renditions_are_served_and_made_when_they_are_asked_for)
{
	start(several, "", "--on-demand --read-ahead 0");
	check_head("audio-3/540000-540000.m4s", "content-type: audio/mp4");
	check_head("text-1/540000-540000.vtt", "content-type: text/vtt");
	check_head("manifest.mpd", "content-type: application/dash+xml");
	/* nothing else was made for them */
	ck_assert_int_eq(cluster_redis(&s, "HLEN segfarm:{%s}:segs:audio-3", key), 1);
	ck_assert_int_eq(cluster_redis(&s, "EXISTS segfarm:{%s}:segs:video segfarm:{%s}:segs:audio-1 segfarm:{%s}:segs:text-2", key, key, key), 0);
	/* all of it is what files have; DASH asks for the same segments by their start */
	free(sh("cd '%s' && for f in */init.mp4 */index.m3u8 */*.m4s */*.vtt; do curl -sSf --max-time 100 '%s/hls/%s/'$f | cmp - $f || exit 1; done; "
		"for f in audio-1/540000.m4s text-2/540000.vtt video/540000.m4s; do curl -sSf '%s/hls/%s/'$f | cmp - ${f%%.*}-540000.${f##*.} || exit 1; done",
		several_out, s.root[0], key, s.root[0], key));
	/* one that Redis drops is made again */
	ck_assert_int_eq(cluster_redis(&s, "DEL segfarm:{%s}:seg:audio-3:540000:540000:0", key), 1);
	free(sh("curl -sSf --max-time 100 '%s/hls/%s/audio-3/540000-540000.m4s' | cmp - '%s/audio-3/540000-540000.m4s'", s.root[0], key, several_out));
	ck_assert_int_eq(get_of("manifest.mpd"), 200);
	free(sh("cd '%s' && test $(grep -c '<AdaptationSet' got) = 7 && test $(grep -c '<S t=' got) -ge 1 && xmllint --noout got", s.serve[0].dir));
	for (int i = 0; i < 6; i++) {
		static const char *const none[] = { "main/index.m3u8", "audio-4/index.m3u8", "text-1/init.mp4", "text-1/540000-540000.m4s",
						    "audio-1/540000-540000.vtt", "video/0.vtt" };

		ck_assert_msg(get_of(none[i]) == 404, "%s", none[i]);
	}
	end();
}
END_TEST

START_TEST(sounds_without_video_are_served_and_made_when_they_are_asked_for)
{
	start(sounds, "", "--on-demand --read-ahead 0");
	ck_assert_int_eq(get_of("master.m3u8"), 200);
	free(sh("cd '%s' && for f in audio-3/*; do curl -sSf --max-time 100 '%s/hls/%s/'$f | cmp - $f || exit 1; done", sounds_out, s.root[0], key));
	ck_assert_int_eq(cluster_redis(&s, "HLEN segfarm:{%s}:segs:audio-3", key), 4);
	ck_assert_int_eq(cluster_redis(&s, "EXISTS segfarm:{%s}:segs:audio-1 segfarm:{%s}:segs:audio-2", key, key), 0);
	ck_assert_int_eq(get_of("main/index.m3u8"), 404);
	ck_assert_int_eq(get_of("audio-4/index.m3u8"), 404);
	/* in one stream it is the default one, and nothing is behind its end */
	free(sh(TOOLS "cd '%s' && curl -sSf --max-time 100 '%s/stream/%s.mp4' > whole.mp4 && frames whole.mp4 0 > whole.f && join '%s/audio-2' > own.mp4 && "
		      "frames own.mp4 0 > own.f && head -n $(wc -l < whole.f) own.f | cmp - whole.f && test $(($(wc -l < own.f) - $(wc -l < whole.f))) -le 2",
		s.serve[0].dir, s.root[0], key, sounds_out));
	end();
}
END_TEST

static void make_media(void)
{
	several = media_make("renditions.mkv", SEVERAL);
	one = media_make("renditions.mp4", ONE);
	several_out = run(several, "several");
	one_out = run(one, "one");
	sounds = media_make("renditions.mka", SOUNDS);
	sounds_out = run(sounds, "sounds");
}

Suite *suite_renditions(void)
{
	Suite *suite = suite_create("renditions");
	TCase *t = tcase_create("renditions");

	tcase_set_timeout(t, TIMEOUT_S);
	tcase_add_unchecked_fixture(t, make_media, NULL);
	tcase_add_test(t, each_track_is_a_rendition_with_its_name_and_one_is_the_default);
	tcase_add_test(t, renditions_hold_what_each_track_alone_gives);
	tcase_add_test(t, one_audio_track_stays_with_the_video);
	tcase_add_test(t, without_video_each_track_is_a_rendition_and_the_default_one_the_variant);
	tcase_add_loop_test(t, sounds_without_video_are_those_of_the_source, 0, 2);
	tcase_add_loop_test(t, a_track_that_is_shorter_than_the_title_is_filled_with_silence, 0, (int)(sizeof shorts / sizeof *shorts));
	tcase_add_loop_test(t, cues_are_those_of_the_source_in_every_segment_that_shows_them, 0, (int)(sizeof texts / sizeof *texts));
	tcase_add_loop_test(t, a_cue_that_stands_for_long_is_in_every_segment_that_shows_it, 0, (int)(sizeof longs / sizeof *longs));
	tcase_add_test(t, tracks_that_cannot_be_played_are_left_out_and_the_log_says_so);
	tcase_add_test(t, an_audio_segment_that_cannot_be_made_is_a_gap_of_its_own_playlist);
	tcase_add_test(t, renditions_are_served_and_made_when_they_are_asked_for);
	tcase_add_test(t, sounds_without_video_are_served_and_made_when_they_are_asked_for);
	suite_add_tcase(suite, t);
	return suite;
}
