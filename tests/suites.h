/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every test suite: one function in the file of its module. X(name, is_pure): pure suites start no process.
 */
#ifndef SEGFARM_TESTS_SUITES_H
#define SEGFARM_TESTS_SUITES_H

#include <check.h>

#define SUITES(X) \
	X(buf, 1) X(timeline, 1) X(record, 1) X(msg, 1) X(key, 1) X(plan, 1) X(queue, 1) X(queue_simulation, 1) X(bench_simulate, 1) X(playlist, 1) X(mpd, 1) \
	X(cli, 1) X(allow, 1) X(cut, 1) X(grid, 1) X(sps, 1) X(nal, 1) X(asc, 1) X(fmp4, 1) X(audio, 1) \
	X(audio_encoder, 1) X(ebml, 1) X(mkv, 1) X(mkv_track, 1) X(mkv_block, 1) X(mkv_unpack, 1) X(mkv_damage, 1) \
	X(mkv_forward, 1) X(hostile, 1) X(transcode_times, 1) X(fmp4_moof, 1) X(fmp4_entry, 1) X(ac3, 1) X(hdr, 1) \
	X(decide, 1) X(audio_copy, 1) X(vtt, 1) X(label, 1) X(keys, 1) X(shift, 1) \
	X(outbox, 1) X(config, 1) X(log, 1) X(metrics, 1) X(kubernetes, 1) X(spread, 1) X(store_url, 1) \
	X(notify, 0) X(deploy, 0) X(compose, 0) X(edge, 0) \
	X(input, 0) X(url, 0) X(seek, 0) X(bus, 0) X(store, 0) X(on_demand, 0) X(quarantine, 0) X(store_trouble, 0) \
	X(redis_kinds, 0) X(two_servers, 0) X(store_pair, 0) X(store_cluster, 0) X(store_sentinel, 0) X(store_dispatcher, 0) X(store_play, 0) X(proc, 0) X(farm, 0) \
	X(http, 0) X(events, 0) X(dispatch, 0) X(transcode, 0) \
	X(stream, 0) X(input_url, 0) X(sandbox, 0) X(refusals, 0) X(http_guard, 0) X(bus_keys, 0) X(crash, 0) \
	X(errors, 0) X(probe, 0) X(exact, 0) X(muxer, 0) X(defects, 0) X(defects_audio, 0) X(defects_odd, 0) \
	X(defects_reads, 0) X(packets, 0) X(packets_broken, 0) X(video, 0) X(tracks, 0) X(renditions, 0) X(reorder, 0) X(alloc, 0) \
	X(universal, 0) X(universal_hostile, 0) X(universal_live, 0) X(universal_options, 0) X(av_hostile, 0) \
	X(universal_real, 0) X(universal_defects, 0) X(encoder, 0) X(encoder_farm, 0) X(playlists, 0) X(network, 0) \
	X(peers, 0) X(completion, 0) X(operations, 0) X(pools, 0) X(pools_change, 0) X(http_header, 0) X(http_api, 0) X(http_headers, 0) X(http_access, 0) \
	X(faults, 0) X(faults_worker, 0) X(mutated, 0) X(players, 0)

#define DECLARE(name, is_pure) Suite *suite_##name(void);
SUITES(DECLARE)
#undef DECLARE

#endif
