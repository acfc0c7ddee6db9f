# SPDX-License-Identifier: MIT
# The second rock, in redis/: pools over several machines. What it needs, `make deps-redis` installs; the core needs none of it.

.PHONY: redis demo-cluster bench-redis test-redis install-redis deps-redis

REDIS_SOURCES := $(call tree,redis/src,*.c)
REDIS_MODULES := $(call tree,redis/lua,*.lua)
# Each file is a module.
REDIS_MODULE_FILES = $(REDIS_SOURCES:redis/src/%.c=$(BUILD)/mproc/far/redis/%.so)
REDIS_SPECS = $(call tree,redis/spec,*_spec.lua)
HIREDIS_LIBS ?= $(or $(shell pkg-config --libs hiredis 2>/dev/null),-lhiredis)

# What runs from the tree finds both rocks there.
REDIS_ENV = LUA_PATH="$(TREE)lua/?.lua;$(TREE)lua/?/init.lua;$(TREE)redis/lua/?.lua;$(TREE)redis/lua/?/init.lua;./?.lua;$${LUA_PATH:-;}" \
  LUA_CPATH="$(BUILD)/?.so;$${LUA_CPATH:-;}" LUA="$(LUA)" BUSTED="$(BUSTED)" BUILD="$(BUILD)"

$(BUILD)/mproc/far/redis/%.so: $(BUILD)/obj/redis/src/%.o
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $< $(ALL_LDFLAGS) $(if $(filter resp,$*),$(HIREDIS_LIBS))

-include $(REDIS_SOURCES:%.c=$(BUILD)/obj/%.d)

redis: $(REDIS_MODULE_FILES) ## the rock mproc-redis, in BUILD

test-redis: all redis $(SPEC_MODULES) ## its specs on servers of their own, or SPECS='redis/spec/a_spec.lua ...'
	@$(REDIS_ENV) scripts/run-specs.sh $(BUILD)/redis-summary $(or $(SPECS),$(REDIS_SPECS))

demo-cluster: all redis ## count the words of DIR=/usr/include by two worker programs, of which one is killed
	@$(subst LUA_PATH=",LUA_PATH="$(TREE)examples/cluster/?.lua;,$(REDIS_ENV)) $(LUA) examples/cluster/demo.lua $(if $(DIR),'$(DIR)')

bench-redis: all redis ## beside BullMQ, celery and RQ, as far as they are installed
	@$(REDIS_ENV) $(LUA) redis/bench/peers.lua

deps-redis: ## install what it needs: redis-server, LuaSocket, LuaSec, hiredis
	@scripts/deps-redis.sh

# Files beside those of `make install`, which removes what was there before: so it comes first.
$(if $(filter install,$(MAKECMDGOALS)),$(eval install-redis: install))
install-redis: redis ## to PREFIX=/usr/local, below DESTDIR
	@for module in $(REDIS_MODULES:redis/lua/%=%); do \
	  $(INSTALL) -D -m 644 "redis/lua/$$module" "$(DESTDIR)$(LUA_DIR)/$$module" || exit 1; done
	@for file in $(REDIS_MODULE_FILES:$(BUILD)/%=%); do \
	  $(INSTALL) -D -m 755 "$(BUILD)/$$file" "$(DESTDIR)$(LIB_DIR)/$$file" || exit 1; done
