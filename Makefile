# SPDX-License-Identifier: MIT
# GNU make. `make` builds build/mproc/core.so; `make help` lists what else there is.

BUILD ?= build
LUA ?= lua5.4
LUA_VERSION = 5.4
# Recursive on purpose: `make deps all` must see the headers that deps has just installed.
LUA_INCDIR ?= $(or $(patsubst -I%,%,$(firstword $(shell pkg-config --cflags-only-I lua5.4 2>/dev/null))),/usr/include/lua5.4)
PREFIX ?= /usr/local
INSTALL ?= install
BUSTED ?= busted
LUACHECK ?= luacheck
LUAROCKS ?= luarocks
CLANG ?= clang
CLANG_FORMAT ?= $(or $(shell command -v clang-format-14),clang-format)
PYTHON ?= python3
FUZZ_SECONDS ?= 60
# so many executions at most
FUZZ_RUNS ?= -1

# Compared with the rockspec and the tree by `make check-lists`; `make sync-lists` rewrites both.
# sources begin
SOURCES = \
  src/bind/arena.c \
  src/bind/array.c \
  src/bind/barrier.c \
  src/bind/bind.c \
  src/bind/codec.c \
  src/bind/condition.c \
  src/bind/element.c \
  src/bind/event.c \
  src/bind/heap.c \
  src/bind/joinable.c \
  src/bind/label.c \
  src/bind/lease.c \
  src/bind/log.c \
  src/bind/mutex.c \
  src/bind/object.c \
  src/bind/pipe_end.c \
  src/bind/process.c \
  src/bind/queue.c \
  src/bind/rwlock.c \
  src/bind/semaphore.c \
  src/bind/serve.c \
  src/bind/shield.c \
  src/bind/snapshot.c \
  src/bind/system.c \
  src/bind/value.c \
  src/bind/wait_set.c \
  src/bind/worker.c \
  src/codec/array_part.c \
  src/codec/decode.c \
  src/codec/decode_object.c \
  src/codec/encode.c \
  src/codec/encode_message.c \
  src/codec/encode_object.c \
  src/codec/gc_credit.c \
  src/codec/lua_layout.c \
  src/codec/names.c \
  src/codec/path.c \
  src/codec/run.c \
  src/codec/scratch.c \
  src/codec/seen.c \
  src/heap/block.c \
  src/heap/directory.c \
  src/heap/heap.c \
  src/heap/large.c \
  src/heap/segment.c \
  src/mproc.c \
  src/os/child.c \
  src/os/clock.c \
  src/os/cpu.c \
  src/os/event.c \
  src/os/exit.c \
  src/os/futex.c \
  src/os/malloc.c \
  src/os/mapping.c \
  src/os/memory.c \
  src/os/mutex.c \
  src/os/output.c \
  src/os/pages.c \
  src/os/proc_start_time.c \
  src/os/process.c \
  src/os/random.c \
  src/os/sysinfo.c \
  src/os/tree.c \
  src/os/worker.c \
  src/process/children.c \
  src/process/exit.c \
  src/process/log.c \
  src/shm/arena/arena.c \
  src/shm/arena/chunk.c \
  src/shm/arena/object.c \
  src/shm/arena/registry.c \
  src/shm/number/array.c \
  src/shm/number/number.c \
  src/shm/queue/joinable.c \
  src/shm/queue/large_message.c \
  src/shm/queue/pipe_end.c \
  src/shm/queue/queue.c \
  src/shm/queue/recovery.c \
  src/shm/sweep.c \
  src/shm/sync/barrier.c \
  src/shm/sync/condition.c \
  src/shm/sync/event.c \
  src/shm/sync/mutex.c \
  src/shm/sync/rwlock.c \
  src/shm/sync/semaphore.c \
  src/shm/types.c \
  src/shm/wait/wait_queue.c \
  src/shm/wait/wait_set.c \
  src/shm/wait/wait_set_fd.c \
  src/shm/wait/wait_set_wait.c
# sources end
# lua begin
LUA_MODULES = \
  lua/mproc/barrier.lua \
  lua/mproc/check.lua \
  lua/mproc/child.lua \
  lua/mproc/class.lua \
  lua/mproc/condition.lua \
  lua/mproc/context.lua \
  lua/mproc/current.lua \
  lua/mproc/ending.lua \
  lua/mproc/errors.lua \
  lua/mproc/event.lua \
  lua/mproc/fork.lua \
  lua/mproc/future.lua \
  lua/mproc/heap.lua \
  lua/mproc/init.lua \
  lua/mproc/later.lua \
  lua/mproc/lazy.lua \
  lua/mproc/log.lua \
  lua/mproc/log_child.lua \
  lua/mproc/log_hints.lua \
  lua/mproc/log_left.lua \
  lua/mproc/options.lua \
  lua/mproc/peer.lua \
  lua/mproc/pipe.lua \
  lua/mproc/pool.lua \
  lua/mproc/pool_begin.lua \
  lua/mproc/pool_chunks.lua \
  lua/mproc/pool_crew.lua \
  lua/mproc/pool_drive.lua \
  lua/mproc/pool_errors.lua \
  lua/mproc/pool_feed.lua \
  lua/mproc/pool_functions.lua \
  lua/mproc/pool_here.lua \
  lua/mproc/pool_insights.lua \
  lua/mproc/pool_job.lua \
  lua/mproc/pool_label.lua \
  lua/mproc/pool_lists.lua \
  lua/mproc/pool_options.lua \
  lua/mproc/pool_progress.lua \
  lua/mproc/pool_run.lua \
  lua/mproc/pool_search.lua \
  lua/mproc/pool_serial.lua \
  lua/mproc/pool_source.lua \
  lua/mproc/pool_stats.lua \
  lua/mproc/pool_stream.lua \
  lua/mproc/pool_tasks.lua \
  lua/mproc/pool_words.lua \
  lua/mproc/pool_worker.lua \
  lua/mproc/process.lua \
  lua/mproc/queue.lua \
  lua/mproc/result.lua \
  lua/mproc/rwlock.lua \
  lua/mproc/scope.lua \
  lua/mproc/semaphore.lua \
  lua/mproc/states.lua \
  lua/mproc/sync.lua \
  lua/mproc/traceback.lua \
  lua/mproc/wait.lua
# lua end

CFLAGS ?= -O2
WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes $(if $(filter 1,$(WERROR)),-Werror)
ALL_CFLAGS = -std=gnu11 -fPIC -pthread -Isrc -isystem $(LUA_INCDIR) $(WARNINGS) $(CFLAGS) $(SANITIZE)
ALL_LDFLAGS = -pthread $(LDFLAGS) $(SANITIZE)

OBJECTS = $(SOURCES:%.c=$(BUILD)/obj/%.o)
MODULE = $(BUILD)/mproc/core.so

# What runs from the tree finds the tree's module first, whatever is installed.
TREE_ENV = LUA_PATH="$(TREE)lua/?.lua;$(TREE)lua/?/init.lua;./?.lua;$${LUA_PATH:-;}" LUA_CPATH="$(BUILD)/?.so;$${LUA_CPATH:-;}" \
  LUA="$(LUA)" BUSTED="$(BUSTED)" BUILD="$(BUILD)"

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all help deps install test ctest killpoints campaign test-big demo bench bench-deps bench-instructions lint \
  layers check-lists sync-lists format format-check docs reference check-reference fuzz check compilers asan tsan valgrind \
  cover model soak mutants clean

help:
	@echo 'all        build the module in $(BUILD)/           install    to PREFIX (and DESTDIR)'
	@echo 'deps       install what a Debian or Ubuntu lacks    demo       word count over DIR=/usr/include'
	@echo 'test       specs        ctest     C tests           test-big   specs that need much memory'
	@echo 'bench      claims of the README, measured           fuzz       the decoder, FUZZ_SECONDS=60'
	@echo 'bench-deps installs what bench compares with        (make bench BENCH=bench/codec.lua runs that alone)'
	@echo 'killpoints  a kill at every instruction, all of them'
	@echo 'campaign   users of everything killed at random and at planned points: KILLS=10000, or SECONDS=n'
	@echo 'mutants    deliberate breakages, each of which a test must catch'
	@echo 'soak       a day of making and dropping; memory must stay flat'
	@echo 'model      Spin models of the protocols, and mutants that must fail'
	@echo 'check      everything that must hold: lint layers check-lists format-check check-reference compilers ctest fuzz test'
	@echo 'reference  docs/reference.md and docs/mproc.3 from library/'
	@echo 'tsan       threads that play processes, for races   cover      share of the lines that tests run'
	@echo 'asan valgrind  specs and C tests under each         sync-lists format  mend lists and layout'

# With `make -j deps test`, deps still comes first.
all install test ctest test-big demo bench lint layers check-lists format-check docs fuzz check compilers reference \
  check-reference tsan cover: | $(filter deps,$(MAKECMDGOALS))

deps:
	@scripts/deps.sh

all: $(MODULE)

$(MODULE): $(OBJECTS)
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $(OBJECTS) $(ALL_LDFLAGS)

$(BUILD)/obj/%.o: %.c Makefile | $(filter deps,$(MAKECMDGOALS))
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(OBJECTS:.o=.d)

LUA_DIR = $(DESTDIR)$(PREFIX)/share/lua/$(LUA_VERSION)/mproc
LIB_DIR = $(DESTDIR)$(PREFIX)/lib/lua/$(LUA_VERSION)/mproc
MAN_DIR = $(DESTDIR)$(PREFIX)/share/man/man3
# What lua-language-server reads.
TYPES_DIR = $(DESTDIR)$(PREFIX)/share/mproc/library

install: all
	$(INSTALL) -d $(LUA_DIR) $(LIB_DIR) $(MAN_DIR) $(TYPES_DIR)
	$(INSTALL) -m 644 $(LUA_MODULES) $(LUA_DIR)
	$(INSTALL) -m 755 $(MODULE) $(LIB_DIR)/core.so
	$(INSTALL) -m 644 docs/mproc.3 $(MAN_DIR)
	$(INSTALL) -m 644 $(wildcard library/*.lua) $(TYPES_DIR)

# What specs load: the nth allocation fails; what a host may do to a process; clocks that step; lines are counted.
SPEC_HELPERS = $(BUILD)/failalloc.so $(BUILD)/hostile.so $(BUILD)/wallclock.so $(BUILD)/linehits.so
$(SPEC_HELPERS): $(BUILD)/%.so: ctest/%.c
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $(ALL_CFLAGS) $< $(ALL_LDFLAGS)

# Another with which a worker of a pool ends itself at a chosen instruction.
TRAP = $(BUILD)/lua_trap.so
$(TRAP): ctest/lua_trap.c ctest/trap.c ctest/trap.h
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $(ALL_CFLAGS) $(filter %.c,$^) $(ALL_LDFLAGS)

test: all $(SPEC_HELPERS) $(TRAP)
	@$(TREE_ENV) scripts/run-specs.sh $(BUILD)/test-summary $(or $(SPECS),$(sort $(wildcard spec/*_spec.lua spec/regress/*_spec.lua)))

test-big: all
	@$(TREE_ENV) SPEC_SECONDS=900 scripts/run-specs.sh $(BUILD)/big-summary $(sort $(wildcard spec/big/*_spec.lua))

docs: all
	@$(TREE_ENV) scripts/run-specs.sh $(BUILD)/docs-summary spec/readme_spec.lua

reference:
	@$(TREE_ENV) $(LUA) scripts/reference.lua write

# The pages are what library/ says, and library/ says what there is.
check-reference: all
	@$(TREE_ENV) $(LUA) scripts/reference.lua check

# The C tests see os and shm only: nothing below Lua may need it.
CTESTS = $(patsubst ctest/%.c,$(BUILD)/ctest/%,$(filter-out $(CTEST_SKIP:%=ctest/%.c),$(wildcard ctest/*_test.c)))
CTEST_HELPERS = $(filter-out %_test.c ctest/fuzz_%.c ctest/tsan_%.c ctest/lua_%.c $(SPEC_HELPERS:$(BUILD)/%.so=ctest/%.c), \
  $(wildcard ctest/*.c))
BASE_OBJECTS = $(filter $(BUILD)/obj/src/os/% $(BUILD)/obj/src/heap/% $(BUILD)/obj/src/shm/% $(BUILD)/obj/src/process/%,$(OBJECTS))

$(BUILD)/ctest/%: $(BUILD)/obj/ctest/%.o $(CTEST_HELPERS:%.c=$(BUILD)/obj/%.o) $(BASE_OBJECTS)
	@mkdir -p $(@D)
	$(CC) -o $@ $^ $(ALL_LDFLAGS)

.SECONDARY: $(CTESTS:$(BUILD)/ctest/%=$(BUILD)/obj/ctest/%.o) $(CTEST_HELPERS:%.c=$(BUILD)/obj/%.o)
-include $(wildcard $(BUILD)/obj/ctest/*.d)

# A sample of the instructions that rotates with the commit; `make killpoints` tries them all, for an hour or so.
MP_STRIDE ?= 53
MP_OFFSET ?= $(shell printf '%d' 0x$$(git rev-parse --short=6 HEAD 2>/dev/null || echo 0))

# How many processes are killed by all campaigns together.
KILLS ?= 10000
CAMPAIGNS = $(patsubst ctest/%.c,$(BUILD)/ctest/%,$(wildcard ctest/*_campaign_test.c))

ctest: $(CTESTS)
	@MP_STRIDE=$(MP_STRIDE) MP_OFFSET=$(MP_OFFSET) MP_KILLS=$$((($(KILLS) - 1) / $(words $(CAMPAIGNS)) + 1)) \
	  scripts/run-ctests.sh $(BUILD)/ctest-summary $(CTESTS)

# `make campaign KILLS=100000`, or SECONDS=n: users of everything, killed at random and at planned points, in one table.
campaign: all $(TRAP) $(CAMPAIGNS)
	@$(TREE_ENV) scripts/campaign.sh $(BUILD)/campaign $(KILLS) '$(SECONDS)' $(CAMPAIGNS) '$(LUA) soak/pool_campaign.lua'

STEPPED = killpoints_test wake_test $(patsubst ctest/%.c,%,$(wildcard ctest/*_meeting_test.c)) $(patsubst ctest/%.c,%,$(wildcard ctest/*_kill_test.c))

killpoints: $(STEPPED:%=$(BUILD)/ctest/%)
	@scripts/killpoints.sh $(BUILD)/killpoints $^

demo: all
	@$(TREE_ENV) $(LUA) examples/wordcount.lua $(if $(DIR),'$(DIR)')

$(BUILD)/bench/raw.so: bench/raw.c
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $(ALL_CFLAGS) $< $(ALL_LDFLAGS)

# The codec alone, beside bare loops of the plain Lua API compiled with the same flags.
$(BUILD)/bench/codec_floats: bench/codec_floats.c $(filter $(BUILD)/obj/src/codec/%,$(OBJECTS))
	@mkdir -p $(@D)
	$(CC) -o $@ $(ALL_CFLAGS) $^ -llua$(LUA_VERSION) $(ALL_LDFLAGS)

bench: TREE = $(CURDIR)/
bench: all $(BUILD)/bench/raw.so $(BUILD)/bench/codec_floats
	@$(TREE_ENV) PYTHON="$(PYTHON)" $(LUA) bench/run.lua $(BENCH)
	@$(BUILD)/bench/codec_floats

# Instructions of each operation: the same on a busy machine.
bench-instructions: all
	@$(TREE_ENV) LUA="$(LUA)" $(PYTHON) bench/instructions.py

# The peers that make bench compares with, and gnuplot for its charts.
bench-deps:
	@scripts/bench-deps.sh
	@scripts/bench-cmsgpack.sh $(BUILD)/bench/cmsgpack.so $(CC) $(LUA_INCDIR) || echo "not to be had here: lua-cmsgpack"

lint:
	$(LUACHECK) -q .

layers:
	@scripts/layers.sh

check-lists:
	@$(LUA) scripts/lists.lua check

sync-lists:
	@$(LUA) scripts/lists.lua sync

C_FILES = $(sort $(shell find src ctest bench -name '*.[ch]'))

format-check:
	$(CLANG_FORMAT) --dry-run --Werror $(C_FILES)

format:
	$(CLANG_FORMAT) -i $(C_FILES)

# Both compilers, warnings as errors, each in a directory of its own.
compilers:
	+@$(MAKE) --no-print-directory BUILD=$(BUILD)/werror-gcc CC=gcc WERROR=1 all
	+@$(MAKE) --no-print-directory BUILD=$(BUILD)/werror-clang CC=$(CLANG) WERROR=1 all

FUZZ_FLAGS = -g -O1 -std=gnu11 -Isrc -isystem $(LUA_INCDIR) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined

$(BUILD)/fuzz_decode: ctest/fuzz_decode.c $(filter src/codec/%,$(SOURCES)) $(wildcard src/*.h src/codec/*.h) | $(filter deps,$(MAKECMDGOALS))
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_FLAGS) -o $@ $(filter %.c,$^) -llua$(LUA_VERSION)

fuzz: $(BUILD)/fuzz_decode
	@mkdir -p $(BUILD)/fuzz-corpus
	@cd $(BUILD) && ./fuzz_decode -max_total_time=$(FUZZ_SECONDS) -runs=$(FUZZ_RUNS) -max_len=4096 -timeout=10 -rss_limit_mb=4096 \
	  -print_final_stats=1 fuzz-corpus $(CURDIR)/ctest/corpus >fuzz.log 2>&1 || { tail -n 60 fuzz.log; exit 1; }
	@grep '^stat::number_of_executed_units' $(BUILD)/fuzz.log

# The documents' programs are a spec, so `test` runs them too.
check: lint layers check-lists format-check check-reference compilers ctest fuzz test

SANITIZED = BUILD=$(BUILD)/asan CC=gcc CFLAGS='-O1 -g -fno-omit-frame-pointer' SANITIZE='-fsanitize=address,undefined'

# Single-stepped instrumented code would take an hour, and is too slow for tests of wakes: those are left to `make ctest`.
asan:
	+@$(if $(filter-out %/killpoints_test,$(CTESTS)),ASAN_OPTIONS=detect_leaks=0 $(MAKE) --no-print-directory \
	  $(SANITIZED) CTEST_SKIP='$(STEPPED)' KILLS=1000 ctest)
	+@INSTRUMENTED=1 ASAN_LUA="$(LUA)" ASAN_LIBS="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" SPEC_SECONDS=600 $(MAKE) --no-print-directory $(SANITIZED) LUA="$(CURDIR)/scripts/asan-lua.sh" test

# Threads that play processes: see MP_OWN. Fences it does not know; they order atomic words only, which it does not doubt.
TSANNED = BUILD=$(BUILD)/tsan CC=gcc CFLAGS='-O1 -g -DMP_THREADS -Wno-tsan' SANITIZE=-fsanitize=thread

tsan:
	+@$(MAKE) --no-print-directory -s $(TSANNED) $(BUILD)/tsan/ctest/tsan_threads
	@MPROC_ARENA=64M TSAN_OPTIONS=halt_on_error=1:exitcode=66 scripts/run-ctests.sh $(BUILD)/tsan-summary $(BUILD)/tsan/ctest/tsan_threads

# Lines that the specs and the C tests run, in all processes that end in order. Without optimization, so waits are long.
COVER_LEAST ?= 90
COVER_STRIDE ?= 997
COVERED = BUILD=$(BUILD)/cover CC=gcc CFLAGS='-O0 -g -DMP_COVERAGE' SANITIZE=--coverage
COVER_ENV = INSTRUMENTED=1 COVER_DIR="$(CURDIR)/$(BUILD)/cover/lines" COVER_SOURCES=lua/mproc/ LUA_INIT='require("linehits")'

cover:
	@rm -rf $(BUILD)/cover/lines
	@mkdir -p $(BUILD)/cover/lines
	+@$(MAKE) --no-print-directory -s $(COVERED) all $(SPEC_HELPERS:$(BUILD)/%=$(BUILD)/cover/%)
	@find $(BUILD)/cover -name '*.gcda' -delete
	-+@$(COVER_ENV) SPEC_SECONDS=600 $(MAKE) --no-print-directory -s $(COVERED) test
	-+@$(if $(SPECS),true,MP_STRIDE=$(COVER_STRIDE) $(MAKE) --no-print-directory -s $(COVERED) ctest)
	@$(LUA) scripts/cover.lua $(BUILD)/cover $(COVER_LEAST)

valgrind: all $(SPEC_HELPERS)
	@$(TREE_ENV) INSTRUMENTED=1 SPEC_SECONDS=1200 VALGRIND_LUA="$(LUA)" LUA="$(CURDIR)/scripts/valgrind-lua.sh" scripts/run-specs.sh $(BUILD)/valgrind-summary \
	  $(or $(SPECS),spec/codec_spec.lua spec/queue_spec.lua)

# Each mutant of src/shm/arena/mutants.h must make a test of crashes fail. MUTANTS=ROBUST tries that one.
mutants:
	+@scripts/mutants.sh $(BUILD)/mutants $(MUTANTS)

# Making, using and dropping a million times: SOAK_SCALE=0.01 for a short one.
soak: all
	@$(TREE_ENV) $(LUA) soak/soak.lua

# Spin's models of the protocols, with mutants that must fail.
model:
	@scripts/model.sh $(BUILD)/model

clean:
	rm -rf $(BUILD)
