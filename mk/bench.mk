# SPDX-License-Identifier: MIT
# What the README claims, measured.

PYTHON ?= python3

.PHONY: bench bench-instructions bench-deps

$(BUILD)/bench/raw.so: $(BUILD)/obj/bench/raw.o
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $< $(ALL_LDFLAGS)

# The codec alone, beside bare loops of the plain Lua API compiled with the same flags.
$(BUILD)/bench/codec_floats: $(BUILD)/obj/bench/codec_floats.o $(filter $(BUILD)/obj/src/codec/%,$(OBJECTS))
	@mkdir -p $(@D)
	$(CC) -o $@ $^ $(ALL_LDFLAGS) -llua$(LUA_VERSION)

bench: TREE = $(CURDIR)/
bench: all $(BUILD)/bench/raw.so $(BUILD)/bench/codec_floats ## all rows, or BENCH=bench/codec.lua
	@$(TREE_ENV) PYTHON="$(PYTHON)" $(LUA) bench/run.lua $(BENCH)
	@$(BUILD)/bench/codec_floats

bench-instructions: all $(BUILD)/bench/raw.so ## instructions of each operation: the same on a busy machine
	@$(TREE_ENV) LUA="$(LUA)" $(PYTHON) bench/instructions.py

bench-deps: ## install what bench compares with, and gnuplot for its charts
	@scripts/bench-deps.sh
	@scripts/bench-cmsgpack.sh $(BUILD)/bench/cmsgpack.so $(CC) $(LUA_INCDIR) || echo "not to be had here: lua-cmsgpack"
