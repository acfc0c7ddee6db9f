# SPDX-License-Identifier: MIT
# The release: a tarball of the commit, the same bytes each time, and for each rock its rockspec and a source rock, which
# needs nothing but itself. VERSION is the one of lua/mproc/init.lua.

.PHONY: dist

VERSION = $(shell sed -n 's/.*_VERSION = "mproc \(.*\)".*/\1/p' lua/mproc/init.lua)
DIST = $(BUILD)/dist
DIST_TARBALL = $(DIST)/mproc-$(VERSION).tar.gz
ROCKS = mproc mproc-redis
# LuaRocks packs from an address: where a release lies, DIST_URL says.
DIST_URL ?= file://$(abspath $(DIST_TARBALL))

dist: ## the tarball, rockspecs and source rocks of this commit, in BUILD/dist
	@mkdir -p $(DIST)
	git archive --prefix=mproc-$(VERSION)/ -o $(DIST_TARBALL) HEAD
	@for rock in $(ROCKS); do \
	  sed 's|^version = .*|version = "$(VERSION)-1"|; s|^  url = .*|  url = "$(DIST_URL)",|' $$rock-scm-1.rockspec \
	    >$(DIST)/$$rock-$(VERSION)-1.rockspec || exit 1; \
	  (cd $(DIST) && $(LUAROCKS) --lua-version=$(LUA_VERSION) pack $$rock-$(VERSION)-1.rockspec) || exit 1; done
