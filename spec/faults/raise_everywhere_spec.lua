-- SPDX-License-Identifier: MIT
-- An error out of nowhere (Ctrl-C, a hook that ends what takes too long) at any instruction of a call of scopes,
-- numbers, queues, pipes, processes and containers: nothing stays held, nothing is lost or doubled, nothing runs on
-- unseen, and the next call works. Pools and start methods have files of their own.

local scenarios = require("spec.faults.raise.specs")

describe("an error out of nowhere in", function()
  describe("scopes and numbers:", function() scenarios("sync", 5) end)
  describe("queues and pipes:", function() scenarios("queue", 4) end)
  describe("processes:", function() scenarios("process", 4) end)
  describe("containers:", function() scenarios("container", 4) end)
end)
