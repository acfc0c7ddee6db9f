-- SPDX-License-Identifier: MIT
-- What people are told by a keeper: on stderr, once for each trouble; or as the error that ends the pool. Used by
-- mproc.far.redis.keeper alone.

local core = require("mproc.core")
local lazy = require("mproc.lazy") -- whose units are loaded once, which require does not know
local errors = lazy.load("mproc.pool.errors")

local say = {}

-- Says something on stderr, once until say.forget().
function say.tell(self, what, ...)
  self.told = self.told or {}
  if not self.told[what] then
    self.told[what] = true
    core.write_stderr(("mproc: %s\n"):format(what:format(...)))
  end
end

function say.full(self, text)
  say.tell(self, "the server at %s takes no more tasks, which wait: %s", self.far.show, text)
end

-- The trouble is over.
function say.forget(self)
  self.told = nil
end

-- Ends the keeper: the server will not do what the pool needs, and no other keeper would fare better.
function say.refuse(self, text)
  error(errors.far("refused", ("%s: %s"):format(self.far.show, text)), 0)
end

return say
