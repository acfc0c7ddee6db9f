-- SPDX-License-Identifier: MIT
-- An error out of nowhere (Ctrl-C, a hook that ends what takes too long) at any instruction of a call of scopes,
-- numbers, queues, pipes, processes and containers: nothing stays held, nothing is lost or doubled, nothing runs on
-- unseen, and the next call works. That of pools is in raise_everywhere_pool_spec.lua.

local scenarios = require("spec.faults.raise.specs")

describe("an error out of nowhere in", function()
  describe("scopes and numbers:", function() scenarios("sync", 5) end)
  describe("queues and pipes:", function() scenarios("queue", 4) end)
  describe("processes:", function() scenarios("process", 4) end)
  describe("start methods:", function() scenarios("start_methods", 2) end)
  describe("containers:", function() scenarios("container", 4) end)
end)
