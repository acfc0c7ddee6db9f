# SPDX-License-Identifier: MIT
# GNU make. `make` builds build/mproc/core.so; `make help` lists what else there is. Sources, modules, specs and C tests
# are what lies in their folders: no list names them.

BUILD ?= build
LUA ?= lua5.4
LUA_VERSION = 5.4
# Recursive on purpose: `make deps all` must see the headers that deps has just installed.
LUA_INCDIR ?= $(or $(patsubst -I%,%,$(firstword $(shell pkg-config --cflags-only-I lua5.4 2>/dev/null))),/usr/include/lua5.4)
PREFIX ?= /usr/local
INSTALL ?= install
LUAROCKS ?= luarocks

# $(call tree,FOLDERS,PATTERN): the files below, at any depth.
tree = $(sort $(shell find $(1) -type f -name '$(2)' 2>/dev/null))
SOURCES := $(call tree,src,*.c)
LUA_MODULES := $(call tree,lua,*.lua)

CFLAGS ?= -O2
WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes $(if $(filter 1,$(WERROR)),-Werror)
# File sizes have 64 bits on every system.
ALL_CFLAGS = -std=gnu11 -D_FILE_OFFSET_BITS=64 -fPIC -pthread -Isrc -isystem $(LUA_INCDIR) $(WARNINGS) $(CFLAGS) $(SANITIZE)
ALL_LDFLAGS = -pthread $(LUA_LIBDIR:%=-L%) $(LDFLAGS) $(SANITIZE)

OBJECTS = $(SOURCES:%.c=$(BUILD)/obj/%.o)
MODULE = $(BUILD)/mproc/core.so

# What runs from the tree finds the tree's module first, whatever is installed.
TREE_ENV = LUA_PATH="$(TREE)lua/?.lua;$(TREE)lua/?/init.lua;./?.lua;$${LUA_PATH:-;}" LUA_CPATH="$(BUILD)/?.so;$${LUA_CPATH:-;}" \
  LUA="$(LUA)" BUSTED="$(BUSTED)" BUILD="$(BUILD)"

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
# With `make -j deps test`, deps still comes first.
$(if $(filter deps deps-redis,$(MAKECMDGOALS)),$(eval .NOTPARALLEL:))

.PHONY: all help deps install uninstall demo clean force

all: $(MODULE) ## the module, in BUILD=build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r goal text; do \
	  printf '%-19s %s\n' "$$goal" "$$text"; done

deps: ## install what a Debian or Ubuntu lacks
	@scripts/deps.sh

# Rewritten when its text changes: a file that came, went or moved, and other flags, make what depends on it anew.
$(BUILD)/link.txt: TEXT = $(CC) $(ALL_LDFLAGS) $(OBJECTS)
$(BUILD)/compile.txt: TEXT = $(CC) $(ALL_CFLAGS)
$(BUILD)/%.txt: force
	@$(shell mkdir -p $(@D))$(file >$@.new,$(TEXT))cmp -s $@ $@.new && rm $@.new || mv $@.new $@

$(MODULE): $(OBJECTS) $(BUILD)/link.txt
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $(OBJECTS) $(ALL_LDFLAGS)

$(BUILD)/obj/%.o: %.c $(BUILD)/compile.txt
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(if $(filter ctest/%,$<),-Ictest -Ictest/support) -MMD -MP -c -o $@ $<

# Headers of a Lua that is not supported are told by one line, before anything else is compiled.
$(OBJECTS): | $(BUILD)/lua.txt
$(BUILD)/lua.txt: src/codec/compat.h $(BUILD)/compile.txt
	@$(CC) $(ALL_CFLAGS) -w -Wfatal-errors -fsyntax-only -x c $<
	@echo $(LUA_INCDIR) >$@

-include $(OBJECTS:.o=.d)

LUA_DIR = $(PREFIX)/share/lua/$(LUA_VERSION)
LIB_DIR = $(PREFIX)/lib/lua/$(LUA_VERSION)
BIN_DIR = $(PREFIX)/bin
# Completion of bash and zsh.
SHARE_DIR = $(PREFIX)/share
MAN_DIR = $(PREFIX)/share/man
# What lua-language-server reads.
TYPES_DIR = $(PREFIX)/share/mproc/library

# What an older version left in mproc's own folders would be found before the new files.
install: all uninstall ## to PREFIX=/usr/local, below DESTDIR
	@for module in $(LUA_MODULES:lua/%=%); do \
	  $(INSTALL) -D -m 644 "lua/$$module" "$(DESTDIR)$(LUA_DIR)/$$module" || exit 1; done
	$(INSTALL) -D -m 755 $(MODULE) "$(DESTDIR)$(LIB_DIR)/mproc/core.so"
	@$(INSTALL) -d "$(DESTDIR)$(BIN_DIR)"
	sed "1s|.*|#!$$(command -v $(LUA))|" bin/mproc >"$(DESTDIR)$(BIN_DIR)/mproc" && chmod 755 "$(DESTDIR)$(BIN_DIR)/mproc"
	$(if $(MAN_DIR),$(INSTALL) -D -m 644 docs/mproc.1 "$(DESTDIR)$(MAN_DIR)/man1/mproc.1")
	$(if $(MAN_DIR),$(INSTALL) -D -m 644 docs/mproc.3 "$(DESTDIR)$(MAN_DIR)/man3/mproc.3")
	$(if $(SHARE_DIR),$(INSTALL) -D -m 644 completions/mproc.bash "$(DESTDIR)$(SHARE_DIR)/bash-completion/completions/mproc")
	$(if $(SHARE_DIR),$(INSTALL) -D -m 644 completions/_mproc "$(DESTDIR)$(SHARE_DIR)/zsh/site-functions/_mproc")
	$(if $(TYPES_DIR),$(INSTALL) -d "$(DESTDIR)$(TYPES_DIR)")
	$(if $(TYPES_DIR),$(INSTALL) -m 644 $(wildcard library/*.lua) "$(DESTDIR)$(TYPES_DIR)")

uninstall: ## what install has put there
	rm -rf "$(DESTDIR)$(LUA_DIR)/mproc" "$(DESTDIR)$(LIB_DIR)/mproc"
	rm -f "$(DESTDIR)$(BIN_DIR)/mproc"
	$(if $(MAN_DIR),rm -f "$(DESTDIR)$(MAN_DIR)/man1/mproc.1" "$(DESTDIR)$(MAN_DIR)/man3/mproc.3")
	$(if $(SHARE_DIR),rm -f "$(DESTDIR)$(SHARE_DIR)/bash-completion/completions/mproc" "$(DESTDIR)$(SHARE_DIR)/zsh/site-functions/_mproc")
	$(if $(TYPES_DIR),rm -rf "$(DESTDIR)$(TYPES_DIR)" && rmdir "$(DESTDIR)$(dir $(TYPES_DIR))" 2>/dev/null || true)

demo: all ## count the words of DIR=/usr/include
	@$(TREE_ENV) $(LUA) examples/wordcount.lua $(if $(DIR),'$(DIR)')

clean: ## remove BUILD
	rm -rf $(BUILD)

include mk/test.mk mk/bench.mk mk/analysis.mk mk/redis.mk mk/dist.mk
