# SPDX-License-Identifier: GPL-2.0-or-later
#
# make run     everything from nothing: installs what is missing, builds, makes HLS of MEDIA=file (or of a sample), serves it
# make check   installs what is missing, builds with warnings as errors, runs all tests
# make         the programs, into build/
# make player  hls.js for the player page, beside the programs; make check-players plays titles in browsers and other players
# make check-cluster   a farm of eleven hosts (network namespaces; needs root) in which everything breaks once
# make install, uninstall (PREFIX, DESTDIR), deb, check-deploy, asan, valgrind, fuzz, bench, layers, clang, clean

VERSION  := 0.1.0
PREFIX   ?= /usr/local
DESTDIR  ?=
BUILD    ?= build
CC       ?= gcc
JOBS     ?= $(shell nproc 2>/dev/null || echo 2)
PKG      := $(or $(PKG_CONFIG),pkg-config)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wwrite-strings \
        -Wcast-qual -Wimplicit-fallthrough -Wno-missing-field-initializers
HARDEN := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
CFLAGS ?= -O2 -g $(HARDEN)
LDFLAGS ?= -pie -Wl,-z,relro,-z,now
BASE := -std=c17 -D_GNU_SOURCE -DSEGFARM_VERSION='"$(VERSION)"' -I. $(WARN) -MMD -MP

COMMON_LIBS     := libzmq hiredis jansson libsodium libxxhash
DISPATCHER_LIBS := libmicrohttpd zlib
WORKER_LIBS     := libavformat libavcodec libavfilter libavutil libswresample x264 zlib libseccomp
TEST_LIBS       := check yaml-0.1
# asked only when something is compiled, so that `make run` can install first
COMMON_CFLAGS      = $(shell $(PKG) --cflags $(COMMON_LIBS))
DISPATCHER_LDLIBS  = $(shell $(PKG) --libs $(COMMON_LIBS) $(DISPATCHER_LIBS))
WORKER_LDLIBS      = $(shell $(PKG) --libs $(COMMON_LIBS) $(WORKER_LIBS)) -lm
TEST_LDLIBS        = $(shell $(PKG) --libs $(COMMON_LIBS) $(DISPATCHER_LIBS) $(WORKER_LIBS) $(TEST_LIBS)) -lm

COMMON     := $(patsubst %.c,$(BUILD)/%.o,$(wildcard common/*.c))
DISPATCHER := $(patsubst %.c,$(BUILD)/%.o,$(wildcard dispatcher/*.c))
WORKER     := $(patsubst %.c,$(BUILD)/%.o,$(wildcard worker/*.c))
TESTS      := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/fuzz/% tests/bench/%,$(wildcard tests/*.c tests/*/*.c)))
FUZZERS    := $(patsubst tests/fuzz/%.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: all manual run check check-players check-cluster check-deploy player tests deps layers asan valgrind clang fuzz fuzzers bench
.PHONY: install uninstall deb clean
.DELETE_ON_ERROR:

all: $(BUILD)/segfarm $(BUILD)/segfarm-worker manual

$(BUILD)/segfarm: $(DISPATCHER) $(COMMON)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(DISPATCHER_LDLIBS)

$(BUILD)/segfarm-worker: $(WORKER) $(COMMON)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(WORKER_LDLIBS)

$(BUILD)/unit-tests: $(TESTS) $(filter-out %/main.o,$(DISPATCHER) $(WORKER)) $(COMMON)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(TEST_LDLIBS)

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CPPFLAGS) $(CFLAGS) $(COMMON_CFLAGS) -c -o $@ $<

# what is in them as it is
$(BUILD)/dispatcher/http_api.o: dispatcher/openapi.json
$(BUILD)/dispatcher/http_pages.o: $(wildcard dispatcher/web/*)

deps:
	@deploy/install-deps.sh

# hls.js, as the package that it is, of the version and with the checksum in deploy/player. Without it the player page needs a browser
# that plays HLS by itself.
player:
	@command -v npm >/dev/null || deploy/install-deps.sh nodejs npm
	@mkdir -p $(BUILD)/player && cp deploy/player/*.json $(BUILD)/player/
	@cd $(BUILD)/player && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@cp $(BUILD)/player/node_modules/hls.js/dist/hls.min.js $(BUILD)/hls.min.js

# ---- the two commands of the README

run: deps
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@BUILD=$(BUILD) MEDIA="$(MEDIA)" OUT="$(OUT)" ONCE="$(ONCE)" LISTEN="$(LISTEN)" deploy/run

check: deps layers
	@deploy/install-deps.sh shellcheck libxml2-utils
	@$(MAKE) --no-print-directory -s -j$(JOBS) CFLAGS="$(CFLAGS) -Werror" tests
	@BUILD=$(BUILD) tests/run

# PLAYERS_QUICK=1: a part of it, two minutes; MEDIA_DIR=dir: real files, too; PLAYERS_ONLY="Shaka"
check-players: deps player
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@BUILD=$(BUILD) tests/players/run

# the package, units, manifests and caches of deploy/, on a clean system where it is root
check-deploy: deps deb
	@$(MAKE) --no-print-directory -s -j$(JOBS) tests
	@BUILD=$(BUILD) tests/deploy/run

# REDIS=cluster, sentinel or standalone; TITLES=n
check-cluster: deps
	@deploy/install-deps.sh iproute2
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@BUILD=$(BUILD) tests/cluster/readme
	@BUILD=$(BUILD) REDIS=$(REDIS) TITLES=$(TITLES) tests/cluster/run

tests: all $(BUILD)/unit-tests

# common/ includes neither side, the sides not each other, third-party headers only the files named for them, and the
# dispatcher links no libav. Nothing in the pages makes markup of text, or comes from elsewhere.
layers:
	@! grep -nE '#include "(worker|dispatcher)/' common/*.[ch]
	@! grep -nE '#include "dispatcher/' worker/*.[ch]
	@! grep -nE '#include "worker/' dispatcher/*.[ch]
	@! grep -nE '#include <libav|#include <libsw|#include <x264' common/*.[ch] dispatcher/*.[ch]
	@! grep -lE '#include <zmq' common/*.[ch] worker/*.[ch] dispatcher/*.[ch] | grep -v '^common/\(bus\|keys\)'
	@! grep -lE '#include <hiredis' common/*.[ch] worker/*.[ch] dispatcher/*.[ch] | grep -v '^common/store'
	@! grep -lE '#include <x264' worker/*.[ch] | grep -v '^worker/video_encoder'
	@! grep -rnE 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|<script>|<style|[^-]style="|onclick="|https?://[a-z]' dispatcher/web | grep -v 'xmlns='
	@echo "layers: ok"

# ---- more checking

SAN := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
asan: deps
	@$(MAKE) --no-print-directory -s -j$(JOBS) BUILD=$(BUILD)/asan CFLAGS="$(SAN) -Werror" LDFLAGS="$(SAN)" tests
	@BUILD=$(BUILD)/asan tests/run

valgrind: deps
	@$(MAKE) --no-print-directory -j$(JOBS) tests
	@SHORT=1 CK_FORK=no valgrind -q --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
		--error-exitcode=1 $(BUILD)/unit-tests pure

clang: deps
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(BUILD)/clang CC=clang CFLAGS="-O2 -g -Werror" tests

# Each target of tests/fuzz for FUZZ_SECONDS (60); FUZZ=name for one of them. What was found before is in $(BUILD)/fuzz.
FUZZ_CFLAGS := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
fuzz:
	@deploy/install-deps.sh clang libclang-rt-dev llvm
	@$(MAKE) --no-print-directory -s -j$(JOBS) BUILD=$(BUILD)/fuzz CC=clang CFLAGS="$(FUZZ_CFLAGS) -Werror" fuzzers
	@BUILD=$(BUILD)/fuzz tests/fuzz/run $(FUZZ)

fuzzers: $(FUZZERS) $(BUILD)/seeds

FUZZED := $(filter-out %/main.o,$(DISPATCHER) $(WORKER)) $(COMMON) $(BUILD)/tests/fuzz/fuzz.o $(BUILD)/tests/worker/mkv_build.o
$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(FUZZED)
	$(CC) $(CFLAGS) -fsanitize=fuzzer -o $@ $^ $(TEST_LDLIBS)
$(BUILD)/seeds: $(BUILD)/tests/fuzz/seeds.o $(FUZZED)
	$(CC) $(CFLAGS) -o $@ $^ $(TEST_LDLIBS)

# MEDIA=file, RUNS=n, MINUTES=n, PARTS="title core mp4 encode queue scale players overload serve"
bench: deps
	@$(MAKE) --no-print-directory -s -j$(JOBS) all $(BUILD)/bench-pipeline $(BUILD)/bench-players
	@BUILD=$(BUILD) MEDIA="$(MEDIA)" tests/bench/run

$(BUILD)/bench-pipeline: $(BUILD)/tests/bench/pipeline.o $(BUILD)/tests/jobs.o $(filter-out %/main.o,$(DISPATCHER) $(WORKER)) $(COMMON)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(TEST_LDLIBS)

$(BUILD)/bench-players: $(BUILD)/tests/bench/players.o
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

# ---- install

# Pages and completion are written by the programs, out of the tables that they parse options by.
PROGRAMS   := segfarm segfarm-worker
MAN        := $(PROGRAMS:%=$(BUILD)/share/man/man1/%.1) $(BUILD)/share/man/man5/segfarm.conf.5
COMPLETION := $(PROGRAMS:%=$(BUILD)/share/bash-completion/completions/%) $(PROGRAMS:%=$(BUILD)/share/zsh/site-functions/_%) \
              $(PROGRAMS:%=$(BUILD)/share/fish/vendor_completions.d/%.fish)
SHARE      := $(MAN) $(COMPLETION)
manual: $(SHARE)

$(BUILD)/share/man/man1/%.1: $(BUILD)/%
	@mkdir -p $(@D)
	$< --manual man >$@
$(BUILD)/share/man/man5/segfarm.conf.5: $(BUILD)/segfarm $(BUILD)/segfarm-worker
	@mkdir -p $(@D)
	($< --manual conf && $< --manual sections && $(BUILD)/segfarm-worker --manual sections) >$@
$(BUILD)/share/bash-completion/completions/%: $(BUILD)/%
	@mkdir -p $(@D)
	$< --manual bash >$@
$(BUILD)/share/zsh/site-functions/_%: $(BUILD)/%
	@mkdir -p $(@D)
	$< --manual zsh >$@
$(BUILD)/share/fish/vendor_completions.d/%.fish: $(BUILD)/%
	@mkdir -p $(@D)
	$< --manual fish >$@

install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BUILD)/segfarm $(BUILD)/segfarm-worker $(DESTDIR)$(PREFIX)/bin
	for f in $(SHARE:$(BUILD)/%=%); do install -D -m 644 $(BUILD)/$$f $(DESTDIR)$(PREFIX)/$$f || exit 1; done
	if [ -f $(BUILD)/hls.min.js ]; then install -D -m 644 $(BUILD)/hls.min.js $(DESTDIR)$(PREFIX)/share/segfarm/hls.min.js; fi

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/segfarm $(DESTDIR)$(PREFIX)/bin/segfarm-worker $(SHARE:$(BUILD)/%=$(DESTDIR)$(PREFIX)/%) \
		$(DESTDIR)$(PREFIX)/share/segfarm/hls.min.js

# A Debian package, of what is here: $(BUILD)/segfarm_*.deb
DEB := $(BUILD)/deb/segfarm-$(VERSION)
deb:
	@deploy/install-deps.sh debhelper dpkg-dev fakeroot
	@rm -rf $(BUILD)/deb && mkdir -p $(DEB)
	@cp -R Makefile README.md LICENSE common dispatcher worker deploy $(DEB) && cp -R deploy/debian $(DEB)/debian
	@cd $(DEB) && env -u MAKEFLAGS -u MAKELEVEL DEB_BUILD_OPTIONS=terse dpkg-buildpackage -us -uc -b
	@mv $(BUILD)/deb/*.deb $(BUILD) && rm -rf $(BUILD)/deb

clean:
	rm -rf $(BUILD)

-include $(COMMON:.o=.d) $(DISPATCHER:.o=.d) $(WORKER:.o=.d) $(TESTS:.o=.d) $(wildcard $(BUILD)/tests/fuzz/*.d $(BUILD)/tests/bench/*.d)
