# SPDX-License-Identifier: MIT
# What reads the code or runs it under instruments. `make check` is all that must hold before a commit.

LUACHECK ?= luacheck
CLANG ?= clang
CLANG_FORMAT ?= $(or $(shell command -v clang-format-14),clang-format)

.PHONY: check check-code lint layers format format-check compilers fuzz asan tsan cover valgrind mutants lua-mutants reach model

# The documents' programs are a spec, so `test` runs them too.
check: check-code test ## everything that must hold

check-code: lint layers format-check check-reference compilers ctest fuzz ## all of it but the specs

lint: ## luacheck
	$(LUACHECK) -q .

layers: all ## dependencies flow downwards
	@scripts/layers.sh $(BUILD)

C_FILES = $(call tree,src ctest bench redis,*.[ch])

format-check:
	$(CLANG_FORMAT) --dry-run --Werror $(C_FILES)

format: ## clang-format 14
	$(CLANG_FORMAT) -i $(C_FILES)

# Where its headers are.
WITH_REDIS = $(if $(wildcard /usr/include/hiredis/hiredis.h),redis)

compilers: ## gcc and clang, warnings as errors, each in a directory of its own
	+@$(MAKE) --no-print-directory BUILD=$(BUILD)/werror-gcc CC=gcc WERROR=1 all $(WITH_REDIS)
	+@$(MAKE) --no-print-directory BUILD=$(BUILD)/werror-clang CC=$(CLANG) WERROR=1 all $(WITH_REDIS)

FUZZ_SECONDS ?= 60
# so many executions at most
FUZZ_RUNS ?= -1
FUZZ_FLAGS = -g -O1 -std=gnu11 -Isrc -isystem $(LUA_INCDIR) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined

$(BUILD)/fuzz_decode: $(call tree,ctest,fuzz_decode.c) $(filter src/codec/%,$(SOURCES)) $(call tree,src,*.h)
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_FLAGS) -o $@ $(filter %.c,$^) $(LUA_LIBDIR:%=-L%) -llua$(LUA_VERSION)

# What reads frozen graphs knows no Lua.
$(BUILD)/fuzz_frozen: $(call tree,ctest,fuzz_frozen.c) $(filter $(addprefix src/,os/% heap/% shm/% process/%),$(SOURCES)) $(call tree,src,*.h)
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_FLAGS) -o $@ $(filter %.c,$^) -pthread

$(BUILD)/fuzz_wire: $(call tree,ctest,fuzz_wire.c) $(filter src/wire/%,$(SOURCES)) $(call tree,src,*.h)
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_FLAGS) -o $@ $(filter %.c,$^)

# $(call fuzz_with,PROGRAM,CORPUS[,SECONDS]): a finding ends the run.
fuzz_with = @mkdir -p $(BUILD)/$(1)-corpus && cd $(BUILD) && { ./$(1) -max_total_time=$(or $(3),$(FUZZ_SECONDS)) -runs=$(FUZZ_RUNS) -max_len=4096 \
  -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 $(1)-corpus $(CURDIR)/$(2) >$(1).log 2>&1 || { tail -n 60 $(1).log; exit 1; }; } && \
  echo "$(1): $$(sed -n 's/^stat::number_of_executed_units: *//p' $(1).log) executions"

fuzz: $(BUILD)/fuzz_decode $(BUILD)/fuzz_frozen $(BUILD)/fuzz_wire ## the readers of bytes, each: FUZZ_SECONDS=60, FUZZ_RUNS=n
	$(call fuzz_with,fuzz_decode,ctest/codec/corpus)
	$(call fuzz_with,fuzz_frozen,ctest/container/corpus)
	$(call fuzz_with,fuzz_wire,ctest/wire/corpus,$(shell expr 1 + $(FUZZ_SECONDS) / 6))

SANITIZED = BUILD=$(BUILD)/asan CC=gcc CFLAGS='-O1 -g -fno-omit-frame-pointer' SANITIZE='-fsanitize=address,undefined'

# Single-stepped instrumented code would take an hour, and is too slow for tests of wakes: those are left to `make ctest`.
asan: ## specs and C tests under address and undefined-behaviour sanitizers
	+@ASAN_OPTIONS=detect_leaks=0 $(MAKE) --no-print-directory $(SANITIZED) CTEST_SKIP='$(STEPPED)' KILLS=1000 ctest
	+@INSTRUMENTED=1 ASAN_LUA="$(LUA)" ASAN_LIBS="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	  SPEC_SECONDS=600 $(MAKE) --no-print-directory $(SANITIZED) LUA="$(CURDIR)/scripts/asan-lua.sh" test

# Threads that play processes: see MP_PROCESS_LOCAL. Fences it does not know; they order atomic words only, which it does not doubt.
TSANNED = BUILD=$(BUILD)/tsan CC=gcc CFLAGS='-O1 -g -DMP_THREADS -Wno-tsan' SANITIZE=-fsanitize=thread
TSAN_TESTS = $(foreach f,$(CTEST_SOURCES),$(if $(filter tsan_%,$(notdir $f)),$(f:%.c=$(BUILD)/tsan/%)))

tsan: ## threads that play processes, for races
	+@$(MAKE) --no-print-directory -s $(TSANNED) $(TSAN_TESTS)
	@MPROC_ARENA=64M TSAN_OPTIONS=halt_on_error=1:exitcode=66 scripts/run-ctests.sh $(BUILD)/tsan-summary $(TSAN_TESTS)

# In all processes that end in order. Without optimization, so waits are long.
COVER_LEAST ?= 90
COVER_STRIDE ?= 997
COVERED = BUILD=$(BUILD)/cover CC=gcc CFLAGS='-O0 -g -DMP_COVERAGE' SANITIZE=--coverage
COVER_ENV = INSTRUMENTED=1 COVER_DIR="$(CURDIR)/$(BUILD)/cover/lines" COVER_SOURCES=lua/mproc/ LUA_INIT='require("linehits")'

cover: ## the share of the lines that specs and C tests run
	@rm -rf $(BUILD)/cover
	@mkdir -p $(BUILD)/cover/lines
	+@$(MAKE) --no-print-directory -s $(COVERED) all $(SPEC_MODULES:$(BUILD)/%=$(BUILD)/cover/%)
	-+@$(COVER_ENV) SPEC_SECONDS=600 $(MAKE) --no-print-directory -s $(COVERED) test
	-+@$(if $(SPECS),true,MP_STRIDE=$(COVER_STRIDE) $(MAKE) --no-print-directory -s $(COVERED) ctest)
	@$(LUA) scripts/cover.lua $(BUILD)/cover $(COVER_LEAST)

valgrind: all $(SPEC_MODULES) ## specs of the codec and the queue under memcheck, or SPECS
	@$(TREE_ENV) INSTRUMENTED=1 SPEC_SECONDS=1200 VALGRIND_LUA="$(LUA)" LUA="$(CURDIR)/scripts/valgrind-lua.sh" \
	  scripts/run-specs.sh $(BUILD)/valgrind-summary $(or $(SPECS),$(call tree,spec,codec_spec.lua) $(call tree,spec,queue_spec.lua))

mutants: ## deliberate breakages, each of which a test must catch: MUTANTS=ROBUST tries one
	+@scripts/mutants.sh $(BUILD)/mutants $(MUTANTS)

lua-mutants: all $(SPEC_MODULES) ## the same for the Lua layer
	@$(TREE_ENV) $(LUA) scripts/lua_mutants.lua $(BUILD)/lua-mutants $(MUTANTS)

# What it builds depends on the sources that it finds, which only the script knows. In CI the cheap ones.
reach: ## other C libraries, processors and Luas, in one table: REACH="musl arm64", REACH_SPECS=all, LUA_SOURCES="dir ..."
	@scripts/reach.sh $(BUILD)/reach $(REACH)

model: ## Spin's models of the protocols, and mutants that must fail
	@scripts/model.sh $(BUILD)/model
