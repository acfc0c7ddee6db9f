# SPDX-License-Identifier: MIT
# Specs, C tests, and what kills processes by the thousand.

BUSTED ?= busted

.PHONY: test test-big test-start-methods test-start-sample docs reference check-reference ctest campaign killpoints soak

# What specs and campaigns load: each file of ctest/modules is a Lua module.
SPEC_MODULES = $(patsubst ctest/modules/%.c,$(BUILD)/%.so,$(wildcard ctest/modules/*.c))
$(SPEC_MODULES): $(BUILD)/%.so: $(BUILD)/obj/ctest/modules/%.o
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $(filter %.o,$^) $(ALL_LDFLAGS)
$(BUILD)/lua_trap.so: $(patsubst %.c,$(BUILD)/obj/%.o,$(call tree,ctest,trap.c))

ALL_SPECS = $(call tree,spec,*_spec.lua)
BIG_SPECS = $(filter spec/big/%,$(ALL_SPECS))

test: all $(SPEC_MODULES) ## specs, or SPECS='spec/a_spec.lua ...'
	@$(TREE_ENV) scripts/run-specs.sh $(BUILD)/test-summary $(or $(SPECS),$(filter-out $(BIG_SPECS),$(ALL_SPECS)))

test-big: all ## specs that need much memory
	@$(TREE_ENV) SPEC_SECONDS=900 scripts/run-specs.sh $(BUILD)/big-summary $(BIG_SPECS)

# Specs whose processes may start in any way. What is fork's alone is pending by the others; a far pool of the specs has its
# engine in package.preload, which is inherited.
METHOD_FOLDERS = process queue sync pool wait container number descriptor manager
METHOD_SPECS = $(filter-out spec/pool/far_spec.lua,$(filter $(METHOD_FOLDERS:%=spec/%/%),$(ALL_SPECS)))
METHODS ?= spawn forkserver

test-start-methods: all $(SPEC_MODULES) ## those of processes, queues, locks, pools ... by METHODS='spawn forkserver'
	@for method in $(METHODS); do echo "$$method:"; $(TREE_ENV) MPROC_START_METHOD=$$method SPEC_SECONDS=300 \
	  scripts/run-specs.sh $(BUILD)/$$method-summary $(or $(SPECS),$(METHOD_SPECS)) || exit 1; done

METHOD_SAMPLE = spec/process/process_spec.lua spec/queue/pipe_processes_spec.lua spec/sync/condition_deaths_spec.lua \
  spec/pool/pool_spec.lua spec/manager/life_spec.lua spec/descriptor/descriptor_spec.lua

test-start-sample: ## a minute of test-start-methods
	@$(MAKE) --no-print-directory test-start-methods SPECS='$(METHOD_SAMPLE)'

docs: all ## run the programs of README and guide
	@$(TREE_ENV) scripts/run-specs.sh $(BUILD)/docs-summary $(call tree,spec,readme_spec.lua)

reference: all ## write what is made of library/ and of the program's options: docs/reference.md, docs/mproc.3 and mproc.1, completions/
	@$(TREE_ENV) $(LUA) scripts/reference.lua write
	@$(TREE_ENV) $(LUA) scripts/program_docs.lua write

check-reference: all ## the pages are what library/ says, and library/ says what there is
	@$(TREE_ENV) $(LUA) scripts/reference.lua check
	@$(TREE_ENV) $(LUA) scripts/program_docs.lua check

# The C tests link what lies below Lua: nothing there may need it.
CTEST_SOURCES := $(filter-out ctest/modules/%,$(call tree,ctest,*.c))
CTESTS = $(patsubst %.c,$(BUILD)/%,$(filter-out $(CTEST_SKIP),$(filter %_test.c,$(CTEST_SOURCES))))
CTEST_HELPERS = $(foreach f,$(CTEST_SOURCES),$(if $(filter fuzz_% tsan_% %_test.c,$(notdir $f)),,$f))
BELOW_LUA = $(filter $(addprefix $(BUILD)/obj/src/,os/% heap/% wire/% shm/% process/%),$(OBJECTS))

$(BUILD)/ctest/%: $(BUILD)/obj/ctest/%.o $(CTEST_HELPERS:%.c=$(BUILD)/obj/%.o) $(BELOW_LUA) $(BUILD)/link.txt
	@mkdir -p $(@D)
	$(CC) -o $@ $(filter %.o,$^) $(ALL_LDFLAGS)

.SECONDARY:
-include $(patsubst %.c,$(BUILD)/obj/%.d,$(CTEST_SOURCES) $(wildcard ctest/modules/*.c))

# A sample of the instructions that rotates with the commit; `make killpoints` tries them all, for an hour or so.
MP_STRIDE ?= 53
MP_OFFSET ?= $(shell printf '%d' 0x$$(git rev-parse --short=6 HEAD 2>/dev/null || echo 0))

# How many processes are killed by all campaigns together, and as many more by that of containers.
KILLS ?= 10000
CAMPAIGNS = $(filter %_campaign_test,$(CTESTS))

ctest: $(CTESTS) ## C tests
	@MP_STRIDE=$(MP_STRIDE) MP_OFFSET=$(MP_OFFSET) MP_KILLS=$$((($(KILLS) - 1) / $(or $(filter-out 0,$(words $(CAMPAIGNS))),1) + 1)) \
	  MP_KILLS_container=$(KILLS) \
	  scripts/run-ctests.sh $(BUILD)/ctest-summary $(CTESTS)

# In one table.
campaign: all $(BUILD)/lua_trap.so $(CAMPAIGNS) ## users of everything, killed: KILLS=10000, or SECONDS=n
	@$(TREE_ENV) scripts/campaign.sh $(BUILD)/campaign $(KILLS) '$(SECONDS)' $(CAMPAIGNS) '$(LUA) soak/pool_campaign.lua'

# Tests that step through instructions, or wait for wakes.
STEPPED = $(foreach f,$(CTEST_SOURCES),$(if $(filter killpoints_test.c wake_test.c %_interleaving_test.c \
  %_kill_test.c,$(notdir $f)),$f))

killpoints: $(STEPPED:%.c=$(BUILD)/%) ## a kill at every instruction, all of them
	@scripts/killpoints.sh $(BUILD)/killpoints $^

soak: all ## make, use and drop a million times: SOAK_SCALE=0.01 for a short one
	@$(TREE_ENV) $(LUA) soak/soak.lua
