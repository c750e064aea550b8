# artfs - one Makefile for everything. `make help` lists the targets.
#
# Rooms, lowest first. A room is linked only against the rooms below it, so an upward call does not link;
# `make lint` checks what each may include. tests/lint.sh holds the include table.

VARIANT ?= plain
B       := build/$(VARIANT)

prefix  ?= /usr/local
bindir  ?= $(prefix)/bin
sbindir ?= $(prefix)/sbin
mandir  ?= $(prefix)/share/man
unitdir ?= $(prefix)/lib/systemd/system

ROOMS     := store wal art fs mount
below_store :=
below_wal   := store
below_art   := wal store
below_fs    := art wal store
below_mount := fs art wal store

CC      := gcc
CSTD    := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
OPT     := -O2 -g
SAN_plain :=
SAN_asan  := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# The sanitizer does not know fences: what relies on them (art/read.c) tells it to look away.
SAN_tsan  := -fsanitize=thread -Wno-tsan
SAN     := $(SAN_$(VARIANT))
CFLAGS  ?=
LDFLAGS ?=
VERSION := 0.1.0
ALL_CFLAGS = $(CSTD) $(WARN) $(OPT) $(SAN) -I. -DARTFS_VERSION='"$(VERSION)"' -MMD -MP $(CFLAGS)
FUSE_CFLAGS := $(shell pkg-config --cflags fuse3 2>/dev/null)
FUSE_LIBS   := $(shell pkg-config --libs fuse3 2>/dev/null || echo -lfuse3)
LIBS        := -luring -lxxhash -lpthread
MOUNT_LIBS  := $(FUSE_LIBS) -ljson-c $(LIBS)

# Debian packages. What `make try` needs, and what testing and fuzzing need besides.
PACKAGES      := gcc make pkg-config libfuse3-dev fuse3 liburing-dev libxxhash-dev libjson-c-dev
TEST_PACKAGES := libcmocka-dev python3 clang-format git rsync procps util-linux man-db wamerican wamerican-huge
FUZZ_PACKAGES := clang-14 libclang-rt-14-dev

lib = $(B)/lib$(1).a
libs_for = $(foreach r,$(1) $(below_$(1)),$(call lib,$(r)))

.DELETE_ON_ERROR:
.PHONY: all help deps test-deps fuzz-deps try test test-build unit lint format asan tsan crash fuzz bench bench-mount \
	bench-engine bench-wal kill9 model growth bench-engine-large install clean

all: $(B)/artfs ## build the artfs program

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-14s %s\n",$$1,$$2}' $(MAKEFILE_LIST)
	@echo "  VARIANT=plain|asan|tsan selects a build; CFLAGS, LDFLAGS, DESTDIR, prefix are honoured."

install_packages = @missing=; for p in $(1); do \
	  dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; fi

deps: ## install what building needs (Debian packages; needs root)
	$(call install_packages,$(PACKAGES))
test-deps: ## install what building and testing need
	$(call install_packages,$(PACKAGES) $(TEST_PACKAGES))
fuzz-deps: ## install what fuzzing needs
	$(call install_packages,$(PACKAGES) $(FUZZ_PACKAGES))

# ---- rooms ---------------------------------------------------------------------------------------

$(B)/mount/%.o: ALL_CFLAGS += $(FUSE_CFLAGS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c $< -o $@

define room
$(call lib,$(1)): $(patsubst %.c,$(B)/%.o,$(wildcard $(1)/*.c))
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room,$(r))))

$(B)/artfs: $(call libs_for,mount)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -Wl,--whole-archive $(call lib,mount) -Wl,--no-whole-archive \
		$(filter-out $(call lib,mount),$^) -o $@ $(MOUNT_LIBS)

# ---- tests: tests/GROUP/NAME_test.c, linked against one room and those below it ----------------------

room_of_store := store
room_of_wal := wal
room_of_art := art
room_of_fs := fs
room_of_harness := store
room_of_model := art
room_of_crash := fs
room_of_fault := art
GROUPS := store wal art fs harness model crash fault

HARNESS := $(patsubst %.c,$(B)/%.o,$(filter-out %_test.c %/alloc_fault.c,$(wildcard tests/harness/*.c)))
WRAP_fault := $(B)/tests/harness/alloc_fault.o \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=reallocarray,--wrap=posix_memalign,--wrap=aligned_alloc,--wrap=mmap

tests_in = $(patsubst %.c,$(B)/%,$(wildcard tests/$(1)/*_test.c))
define group
$(call tests_in,$(1)): $(B)/%: $(B)/%.o $(HARNESS) $(filter %.o,$(WRAP_$(1))) $(call libs_for,$(room_of_$(1)))
	$$(CC) $$(ALL_CFLAGS) $$(LDFLAGS) $$< $$(HARNESS) $(WRAP_$(1)) \
		$(call libs_for,$(room_of_$(1))) -o $$@ -lcmocka $$(LIBS)
endef
$(foreach g,$(GROUPS),$(eval $(call group,$(g))))
TESTS := $(foreach g,$(GROUPS),$(call tests_in,$(g)))

MOUNT_HELPERS := $(patsubst %.c,$(B)/%,$(wildcard tests/mount/*.c))
$(MOUNT_HELPERS): $(B)/%: $(B)/%.o
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) $< -o $@ -lpthread
MOUNT_TESTS := $(filter-out %/lib.sh,$(wildcard tests/mount/*.sh))

test-build: $(TESTS) $(B)/artfs $(MOUNT_HELPERS)

try: deps ## two commands, one: install, build, make a store, mount it, show the main job
	@$(MAKE) --no-print-directory all
	@ARTFS=$(abspath $(B))/artfs contrib/try.sh

test: test-deps ## two commands, two: every test that fits into a few minutes
	@$(MAKE) --no-print-directory test-build
	@ARTFS=$(abspath $(B))/artfs BUILD=$(abspath $(B)) tests/run.sh tests/lint.sh tests/bench/growth_plot.sh \
		$(TESTS) $(MOUNT_TESTS)

unit: ## the tests that need no mount
	@$(MAKE) --no-print-directory $(TESTS)
	@tests/run.sh $(TESTS)

asan: ## the tests without a mount, with the address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory unit VARIANT=asan

tsan: ## the same with the thread sanitizer
	@$(MAKE) --no-print-directory unit VARIANT=tsan

DEPTH ?= 2
crash: ## every crash point of every sequence of up to DEPTH (2) operations
	@$(MAKE) --no-print-directory $(call tests_in,crash)
	@EXHAUSTIVE=1 DEPTH=$(DEPTH) TEST_SECONDS_MAX=86400 tests/run.sh $(call tests_in,crash)

OPS_LONG := $(or $(OPS),10000000)
model: $(B)/tests/model/threads_model_test ## OPS (10000000) operations beside a model, 1 and 4 threads, 3 frame sizes
	@OPS=$(OPS_LONG) TEST_SECONDS_MAX=86400 tests/run.sh $(B)/tests/model/threads_model_test

kill9: all $(MOUNT_HELPERS) ## 200 rounds of kill -9 of a loaded daemon
	@ROUNDS=200 TEST_SECONDS_MAX=86400 ARTFS=$(abspath $(B))/artfs BUILD=$(abspath $(B)) \
		tests/run.sh tests/mount/kill9.sh

# ---- fuzz: every decoder of bytes from disk ----------------------------------------------------------

FUZZ_SECONDS ?= 60
FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
build/fuzz/%: tests/fuzz/%.c $(wildcard store/*.[ch] wal/*.[ch] art/*.[ch] fs/*.[ch])
	@mkdir -p $(@D)
	clang-14 $(CSTD) -O1 -g -I. -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		$< $(wildcard store/*.c wal/*.c art/*.c fs/*.c) -o $@ $(LIBS)

fuzz: $(FUZZERS) ## run each fuzz target for FUZZ_SECONDS (60)
	@for f in $(FUZZERS); do echo "== $$f"; mkdir -p build/fuzz/corpus/$$(basename $$f); \
	  $$f -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 -verbosity=0 -print_final_stats=1 \
	    build/fuzz/corpus/$$(basename $$f) || exit 1; done

# ---- benchmarks --------------------------------------------------------------------------------------

BENCH_COMMON := $(B)/tests/bench/figure.o
$(B)/tests/bench/nullfs.o: ALL_CFLAGS += $(FUSE_CFLAGS)
$(B)/tests/bench/nullfs: $(B)/tests/bench/nullfs.o
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ $(FUSE_LIBS) -lpthread
$(B)/tests/bench/mount_bench: $(B)/tests/bench/mount_bench.o $(BENCH_COMMON)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ -lpthread
# Peers of the engine benchmark: each is built in when its header is found (liblmdb-dev, librocksdb-dev,
# libleveldb-dev, libsqlite3-dev, libwiredtiger-dev), and left out by name otherwise.
has_header = $(shell echo '\#include <$(1)>' | $(CC) -E -x c - >/dev/null 2>&1 && echo $(2))
ENGINE_SOURCES := $(filter-out %/mount_bench.c %/nullfs.c %/figure.c %/growth.c,$(wildcard tests/bench/*.c))
ENGINE_OBJECTS := $(patsubst %.c,$(B)/%.o,$(ENGINE_SOURCES))
ENGINE_LIBS     = $(call has_header,lmdb.h,-llmdb) $(call has_header,rocksdb/c.h,-lrocksdb) \
	$(call has_header,leveldb/c.h,-lleveldb) $(call has_header,sqlite3.h,-lsqlite3) \
	$(call has_header,wiredtiger.h,-lwiredtiger)
$(B)/tests/bench/engine_bench: $(ENGINE_OBJECTS) $(BENCH_COMMON) $(call libs_for,art)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ $(ENGINE_LIBS) $(LIBS) -lm

$(B)/tests/wal/log_bench: $(B)/tests/wal/log_bench.o $(call libs_for,wal)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ $(LIBS)

bench-wal: $(B)/tests/wal/log_bench ## the log alone: commits of 1, 2, 8, 32 threads, records nobody waits for
	@DIR=$${DIR:-$(B)} $(B)/tests/wal/log_bench

$(B)/tests/bench/growth: $(B)/tests/bench/growth.o $(BENCH_COMMON) $(call libs_for,art)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ $(LIBS)

growth: $(B)/tests/bench/growth ## cost per operation from 1,000 to N (10000000) keys: build/growth.tsv, contrib/plots/growth.svg
	@$(B)/tests/bench/growth > build/growth.tsv
	@contrib/plots/growth.py build/growth.tsv contrib/plots/growth.svg
	@cat build/growth.tsv

bench: bench-engine bench-mount ## all benchmarks (they refuse tmpfs)

bench-engine: $(B)/tests/bench/engine_bench ## the dictionary beside the engines one would embed; N=1000000
	@$(B)/tests/bench/engine_bench

bench-engine-large: $(B)/tests/bench/engine_bench ## random gets among N (10000000) keys with a cache of CACHE_MIB (64)
	@LARGE=1 $(B)/tests/bench/engine_bench

bench-mount: all $(B)/tests/bench/nullfs $(B)/tests/bench/mount_bench ## the mount beside ext4 and a null filesystem
	@ARTFS=$(abspath $(B))/artfs BUILD=$(abspath $(B)) tests/bench/mount.sh

# ---- house ---------------------------------------------------------------------------------------------

lint: ## formatting, the include table, every header alone
	@tests/lint.sh

format: ## apply .clang-format
	@clang-format -i $$(git ls-files '*.c' '*.h')

install: all ## DESTDIR= prefix=/usr/local
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(sbindir) $(DESTDIR)$(mandir)/man1 $(DESTDIR)$(mandir)/man8
	install -m 755 $(B)/artfs $(DESTDIR)$(bindir)/artfs
	for n in mkfs fsck mount; do ln -sf $(bindir)/artfs $(DESTDIR)$(sbindir)/$$n.artfs; done
	install -m 644 contrib/man/*.1 $(DESTDIR)$(mandir)/man1/
	install -m 644 contrib/man/*.8 $(DESTDIR)$(mandir)/man8/
	install -D -m 644 -t $(DESTDIR)$(unitdir) contrib/systemd/artfs@.service
	install -D -m 644 contrib/completion/artfs.bash $(DESTDIR)$(prefix)/share/bash-completion/completions/artfs

clean: ## remove build/
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
