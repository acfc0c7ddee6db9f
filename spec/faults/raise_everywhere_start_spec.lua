-- SPDX-License-Identifier: MIT
-- The same as in raise_everywhere_spec.lua for processes that are no forks.

local scenarios = require("spec.faults.raise.specs")

if os.getenv("ASAN_LUA") then -- whose vfork bears no second one in its child, as the start of a fork server has
  pending("fork servers under ASan")
  return
end

describe("an error out of nowhere in a start by spawn or forkserver:", function() scenarios("start_methods", 2) end)
