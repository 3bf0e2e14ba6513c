/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/probe_tracks.h"

#include "common/log.h"
#include "common/timeline.h"
#include "worker/label.h"
#include "worker/text.h"

#include <stdlib.h>
#include <string.h>

/* Subtitles that can be read. 0 or ERR_NOMEM. */
static int add_text(struct index *x, const struct track *t, int *n_texts, bool *has_default, struct err *err)
{
	struct record_track *to = &x->tracks[x->n_tracks];
	struct text_decoder *decoder = NULL;
	int ret = *n_texts == RECORD_TEXTS_MAX ? err_set(err, ERR_LIMIT, "there are too many")
		  : t->is_encrypted	       ? err_set(err, ERR_UNSUPPORTED, "they are encrypted, or packed in a way that is not known")
					       : text_decoder_create(&decoder, t, err);

	text_decoder_destroy(decoder);
	if (ret == ERR_NOMEM)
		return ret;
	if (ret) {
		log_warn("subtitles are left out", "track=%llu codec=%s reason=\"%s\"", (unsigned long long)t->number, t->codec_id, err->msg);
		return 0;
	}
	to->text = (struct record_text){ true, (int64_t)t->number };
	label_track(x->tracks, x->n_tracks, t);
	to->is_default = t->is_default && !*has_default;
	*has_default |= to->is_default;
	++*n_texts;
	x->n_tracks++;
	return 0;
}

int probe_tracks_open(struct index *x, const struct title *t, struct err *err)
{
	bool has_default = false;
	int n_texts = 0, ret = 0;

	x->tracks = calloc(RECORD_TRACKS_MAX, sizeof *x->tracks);
	if (!x->tracks)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (int i = 0; t->n_audios > 1 && i < t->n_audios; i++) {
		label_track(x->tracks, i, t->audios[i].track);
		x->tracks[i].is_default = &t->audios[i] == t->audio;
		x->n_tracks++;
	}
	for (int i = 0; i < t->demux->n_tracks && !ret; i++)
		if (t->demux->tracks[i].type == TRACK_TEXT)
			ret = add_text(x, &t->demux->tracks[i], &n_texts, &has_default, err);
	return ret;
}

static bool is_aac(const struct record_audio *a)
{
	return !strncmp(a->codecs, "mp4a.40.", 8) && strcmp(a->codecs, "mp4a.40.34") != 0;
}

void probe_tracks_fill_up(struct index *x)
{
	int64_t start = x->video.start_ticks, end = x->video.end_ticks;

	if (!x->video.is_present)
		record_audio_span(x->tracks, x->n_tracks, &start, &end);
	for (int i = 0; i < x->n_tracks; i++)
		if (x->tracks[i].audio.is_present && is_aac(&x->tracks[i].audio))
			record_audio_stretch(&x->tracks[i].audio, start, end);
}

static void drop_track(struct index *x, int i)
{
	free(x->tracks[i].positions);
	x->n_tracks--;
	memmove(&x->tracks[i], &x->tracks[i + 1], (size_t)(x->n_tracks - i) * sizeof *x->tracks);
}

int probe_tracks_settle(struct index *x, struct err *err)
{
	int n_audios = 0;
	bool has_default = false;

	for (int i = 0; i < x->n_tracks;) {
		bool is_audio = x->tracks[i].audio.is_present;

		n_audios += is_audio;
		has_default |= is_audio && x->tracks[i].is_default;
		if (is_audio || x->tracks[i].text.is_present)
			i++;
		else
			drop_track(x, i);
	}
	if (n_audios == 1) {
		x->audio = x->tracks[0].audio;
		for (size_t i = 0; i < x->n_syncs; i++)
			x->syncs[i].audio_pos = x->tracks[0].positions[i];
		drop_track(x, 0);
	}
	if (n_audios > 1 && !has_default)
		x->tracks[0].is_default = true;
	return record_name_tracks(x->tracks, x->n_tracks) ? err_set(err, ERR_LIMIT, "too many tracks") : 0;
}
