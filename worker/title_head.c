/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which tracks are played, and their first frames.
 */
#include "worker/title.h"

#include "common/log.h"
#include "common/timeline.h"
#include "worker/audio_codec.h"
#include "worker/decide.h"
#include "worker/video.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_NS (3 * NS_PER_SECOND)
#define LIMIT_HEAD_BLOCKS 200000 /* blocks read to find the first of each track */
#define LIMIT_FIRST_BYTES (16u << 20) /* audio packets are kept until they are more */
#define LIMIT_VIDEO_BYTES (64u << 20) /* video packets, the same */

/* ---- tracks */

/* `want`: "", or in lower case the whole language or what it begins with: pt of pt-BR. */
static bool is_language(const char *language, const char *want)
{
	size_t n = strlen(want);

	return !n || (!strncasecmp(language, want, n) && (!language[n] || language[n] == '-'));
}

static int no_such_track(const struct demux *demux, enum track_type type, struct err *err)
{
	char list[200] = " none";
	size_t n = 0;

	for (int i = 0; i < demux->n_tracks && n < sizeof list; i++)
		if (demux->tracks[i].type == type)
			n += (size_t)snprintf(list + n, sizeof list - n, " %llu (%s, %s)",
					      (unsigned long long)demux->tracks[i].number,
					      demux->tracks[i].language, demux->tracks[i].codec_id);
	return err_set(err, ERR_UNSUPPORTED, "there is no such %s track; there is:%s", type == TRACK_VIDEO ? "video" : "audio",
		       list);
}

/* The one asked for, or the first that can be played. */
static int pick_video(struct title *title, const struct record_options *options, struct err *err)
{
	const struct track *other = NULL;

	for (int i = 0; i < title->demux->n_tracks && !title->video; i++) {
		const struct track *t = &title->demux->tracks[i];

		if (t->type != TRACK_VIDEO || (options->video_track && t->number != (uint64_t)options->video_track))
			continue;
		if (avcodec_find_decoder(codec_id(t)))
			title->video = t;
		else
			other = t;
	}
	if (!title->video && other)
		return err_set(err, ERR_UNSUPPORTED, "video codec %s is not known", other->codec_id);
	return !title->video && options->video_track ? no_such_track(title->demux, TRACK_VIDEO, err) : 0;
}

static bool is_asked(const struct record_options *options)
{
	return options->audio_track || options->audio_language[0];
}

static bool is_playable(const struct track *t)
{
	return audio_codec_find(t) && t->rate >= 1;
}

/* Of those asked for the one with the default flag, else the first. *picked: NULL: there is none. */
static int pick_audio(const struct title *title, const struct record_options *options, const struct track **picked, struct err *err)
{
	const struct track *other = NULL;

	for (int i = 0; i < title->demux->n_tracks; i++) {
		const struct track *t = &title->demux->tracks[i];

		if (t->type != TRACK_AUDIO || (options->audio_track && t->number != (uint64_t)options->audio_track) ||
		    !is_language(t->language, options->audio_language))
			continue;
		if (!is_playable(t))
			other = t;
		else if (!*picked || (t->is_default && !(*picked)->is_default))
			*picked = t;
	}
	if (!*picked && other && (is_asked(options) || !title->video))
		return err_set(err, ERR_UNSUPPORTED, "audio codec %s is not known", other->codec_id);
	return !*picked && is_asked(options) ? no_such_track(title->demux, TRACK_AUDIO, err) : 0;
}

static int check_readable(const struct track *t, struct err *err)
{
	if (!t || !t->is_encrypted)
		return 0;
	return err_set(err, ERR_UNSUPPORTED, "track %llu is encrypted, or packed in a way that is not known",
		       (unsigned long long)t->number);
}

static const char *why_not(const struct title *title, const struct track *t)
{
	if (t->is_encrypted)
		return "it is encrypted, or packed in a way that is not known";
	if (!is_playable(t))
		return "its codec is not known";
	return title->n_audios == RECORD_AUDIOS_MAX ? "there are too many" : NULL;
}

/* The one that was picked, and the others that can be played, as there is room. */
static int add_audios(struct title *title, const struct track *picked, bool is_all, struct err *err)
{
	title->audios = calloc(RECORD_AUDIOS_MAX, sizeof *title->audios);
	if (!title->audios)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (int i = 0; i < title->demux->n_tracks; i++) {
		const struct track *t = &title->demux->tracks[i];
		const char *why = t == picked ? NULL : why_not(title, t);

		if (t->type != TRACK_AUDIO || (t != picked && !is_all))
			continue;
		if (t == picked && title->n_audios == RECORD_AUDIOS_MAX)
			title->n_audios--;
		if (why)
			log_warn("audio is left out", "track=%llu codec=%s reason=\"%s\"", (unsigned long long)t->number, t->codec_id, why);
		else
			title->audios[title->n_audios++].track = t;
		if (t == picked)
			title->audio = &title->audios[title->n_audios - 1];
	}
	return 0;
}

struct title_audio *title_find_audio(const struct title *title, uint64_t track)
{
	for (int i = 0; i < title->n_audios; i++)
		if (title->audios[i].track->number == track)
			return &title->audios[i];
	return NULL;
}

void title_drop_audio(struct title *title, int i)
{
	struct title_audio *a = &title->audios[i];
	int at = title->audio ? (int)(title->audio - title->audios) : 0;

	if (a->has_facts)
		audio_facts_finish(&a->facts);
	for (int k = 0; k < TITLE_FIRST_PACKETS; k++)
		buf_finish(&a->first[k]);
	memmove(a, a + 1, (size_t)(--title->n_audios - i) * sizeof *a);
	memset(&title->audios[title->n_audios], 0, sizeof *a);
	/* where it was the one that is heard, the first is */
	title->audio = title->n_audios ? &title->audios[at == i ? 0 : at - (at > i)] : NULL;
}

int title_pick_tracks(struct title *title, const struct record_options *options, bool is_all, struct err *err)
{
	const struct track *audio = NULL;
	int ret = pick_video(title, options, err);

	title->may_copy_video = title->video && decide_may_copy_video(avcodec_get_name(codec_id(title->video)), options);
	if (!ret)
		ret = pick_audio(title, options, &audio, err);
	if (!ret && !title->video && !audio)
		ret = err_set(err, ERR_UNSUPPORTED, "the file has neither a video nor an audio track");
	if (!ret)
		ret = check_readable(title->video, err);
	if (!ret)
		ret = check_readable(audio, err);
	return ret ? ret : add_audios(title, audio, is_all && !is_asked(options), err);
}

/* ---- head: the first frames of each track */

/* Can decoding start with it? The same as the probe takes for a sync sample. */
static int is_sync(const struct title *title, struct bytes data, struct err *err)
{
	struct buf converted = { 0 };
	struct nal_sample sample;
	int ret = nal_sample_read(&title->nal, data, &converted, &sample, err);

	buf_finish(&converted);
	return ret == ERR_DATA ? 0 : ret ? ret : sample.has_picture;
}

/* From the first sync sample: its configuration, and whether it may be copied. 1: it is one. */
static int read_sync(struct title *title, const struct frame *f, struct bytes data, struct err *err)
{
	enum AVCodecID id = codec_id(title->video);
	int ret;

	title->codec = id == AV_CODEC_ID_HEVC ? NAL_H265 : NAL_H264;
	if (!title->may_copy_video)
		return 1;
	ret = nal_config_init(&title->nal, title->codec, title->video->codec_private, data, err);
	if (ret == ERR_UNSUPPORTED || ret == ERR_NOMEM)
		return ret == ERR_NOMEM ? ret : 1;
	if (ret)
		return err_prefix(err, "video track %llu", (unsigned long long)title->video->number);
	ret = is_sync(title, data, err);
	title->is_video_copied = ret == 1 && decide_copies(title->codec, &title->nal.sps, f->is_timed && !f->is_hidden);
	title->has_nal = title->is_video_copied;
	if (!title->has_nal)
		nal_config_finish(&title->nal);
	return ret;
}

/* The first ones say what is encoded. Matroska says when every frame is shown: there the first sync sample decides already. */
static int keep_packet(struct title *title, const struct frame *f, struct bytes data, struct err *err)
{
	struct title_packet *p = &title->packets[title->n_packets];

	if (title->is_video_copied && !title->video->par)
		return 0;
	if (title->n_packets == TITLE_FIRST_FRAMES || title->packet_bytes > LIMIT_VIDEO_BYTES)
		return 0;
	p->pts = f->is_timed ? timeline_ns_to_ticks(f->time_ns) : VIDEO_TIME_NONE;
	p->dts = f->decode_ns != FRAME_NO_TIME ? timeline_ns_to_ticks(f->decode_ns) : VIDEO_TIME_NONE;
	p->duration = timeline_ns_to_ticks(f->duration_ns);
	p->is_hidden = f->is_hidden;
	buf_put(&p->data, data.data, data.size);
	title->packet_bytes += data.size;
	return buf_failed(&title->packets[title->n_packets++].data) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

static void not_copied(struct title *title)
{
	if (title->has_nal)
		nal_config_finish(&title->nal);
	title->has_nal = title->is_video_copied = false;
}

static int first_video(struct title *title, const struct frame *f, struct err *err)
{
	struct bytes data;
	int ret;

	if (title->n_times == TITLE_FIRST_FRAMES)
		return 0;
	if (!title->has_video && (!f->is_key || f->lace_index)) {
		title->is_entered |= title->video->par != NULL;
		return 0;
	}
	if (!title->has_video || !title->is_video_copied || title->video->par) {
		ret = demux_data(title->demux, f, &title->scratch, &data, err);
		if (!ret && !title->has_video) {
			ret = read_sync(title, f, data, err);
			title->has_video = ret == 1;
		}
		if (ret < 0 || !title->has_video)
			return ret == ERR_DATA && title->has_video ? 0 : ret;
		if (title->is_video_copied && (!f->is_timed || f->is_hidden))
			not_copied(title);
		ret = keep_packet(title, f, data, err);
		if (ret)
			return ret;
	}
	if (!f->is_hidden)
		title->times_ns[title->n_times++] = f->time_ns;
	return 0;
}

static bool has_enough_audio(const struct title_audio *a)
{
	size_t bytes = 0;

	for (int i = 0; i < a->n_first; i++)
		bytes += a->first[i].size;
	return a->n_first == TITLE_FIRST_PACKETS || bytes > LIMIT_FIRST_BYTES;
}

static bool is_all_audio_known(const struct title *title)
{
	for (int i = 0; i < title->n_audios; i++)
		if (!has_enough_audio(&title->audios[i]) || !title->audios[i].is_shown)
			return false;
	return true;
}

static int keep_audio(struct title *title, struct title_audio *a, const struct frame *f, struct err *err)
{
	struct bytes data;
	int ret = demux_data(title->demux, f, &title->scratch, &data, err);

	if (ret)
		return ret == ERR_DATA ? 0 : ret;
	if (!a->n_first)
		a->origin_ns = f->time_ns;
	if (!a->n_first || (a->n_first == 1 && audio_codec_find(a->track)->is_first_silent))
		a->first_ns = f->time_ns;
	buf_put(&a->first[a->n_first], data.data, data.size);
	return buf_failed(&a->first[a->n_first++]) ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

static int first_audio(struct title *title, struct title_audio *a, const struct frame *f, struct err *err)
{
	int ret = has_enough_audio(a) ? 0 : keep_audio(title, a, f, err);
	int64_t skip;

	if (ret || a->is_shown || !a->n_first)
		return ret;
	/* what an edit list leaves out: whole packets in front of the first that is shown, and as much as one of them says */
	skip = f->skip_samples + timeline_ns_to_samples(f->time_ns - a->origin_ns, (int64_t)a->track->rate);
	if (f->skip_samples || (!f->is_hidden && !a->has_skip))
		a->skip = skip;
	a->has_skip |= f->skip_samples > 0;
	a->is_shown = !f->is_hidden;
	return 0;
}

/* Video frames are read on behind the first sync sample: in an open GOP the first to be shown come after it, and the frame rate's
 * grid shows only in many. But nobody who waits for a slow source wants to wait for long. */
static bool has_enough_video(const struct title *title)
{
	int reorder = !title->is_video_copied || title->nal.sps.reorder < 0 ? 16 : title->nal.sps.reorder;

	return !title->video || title->n_times == TITLE_FIRST_FRAMES ||
	       (!title->is_video_copied && (title->n_packets == TITLE_FIRST_FRAMES || title->packet_bytes > LIMIT_VIDEO_BYTES)) ||
	       (title->n_times > reorder + 1 && title->times_ns[title->n_times - 1] - title->times_ns[0] > FIRST_NS);
}

/* A track that has no frame is left out; but where reading failed, it may have some. */
static int drop_empty(struct title *title, struct err *err)
{
	bool is_video_empty = title->video && !title->n_times, is_any_empty = is_video_empty;

	for (int i = 0; i < title->n_audios; i++)
		is_any_empty |= !title->audios[i].n_first;
	if (is_any_empty && input_status(title->demux->in, err))
		return err->code;
	if (is_video_empty)
		title->video = NULL;
	for (int i = title->n_audios - 1; i >= 0; i--)
		if (!title->audios[i].n_first)
			title_drop_audio(title, i);
	if (!title->video && !title->audio)
		return err_set(err, ERR_DATA, "no video sync sample and no audio packet was found in the file");
	return 0;
}

int title_read_head(struct title *title, struct err *err)
{
	struct title_audio *a;
	struct frame f;
	int ret = demux_seek(title->demux, title->demux->first, err);

	for (int n = 0; n < LIMIT_HEAD_BLOCKS && !ret; n++) {
		if (has_enough_video(title) && is_all_audio_known(title))
			break;
		ret = demux_next(title->demux, &f, err);
		if (ret != 1) /* what the input says counts only where something is missing */
			return ret == ERR_UNSUPPORTED ? ret : drop_empty(title, err);
		ret = 0;
		if (title->video && f.track == title->video->number)
			ret = first_video(title, &f, err);
		else if ((a = title_find_audio(title, f.track)))
			ret = first_audio(title, a, &f, err);
	}
	return ret ? ret : drop_empty(title, err);
}
