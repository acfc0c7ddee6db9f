-- SPDX-License-Identifier: MIT
-- An error out of nowhere (Ctrl-C, a hook that ends what takes too long) at any instruction of a call of scopes,
-- numbers, queues, pipes and processes: nothing stays held, nothing is lost or doubled, nothing runs on unseen, and the
-- next call works. That of pools is in raise_everywhere_pool_spec.lua.

local scenarios = require("spec.faults.raise.specs")

local SCOPES = "an error between acquire and the guard leaves it held"

local function scopes()
  local broken = {}
  for name in pairs(require("spec.faults.raise.sync")) do
    if name:find(":.*with") or name:find("guard") or name:find("Condition:") then broken[name] = SCOPES end
  end
  return broken
end

describe("an error out of nowhere in", function()
  describe("scopes and numbers:", function() scenarios("sync", 5, scopes()) end)
  describe("queues and pipes:", function()
    scenarios("queue", 4, { ["Queue:lease"] = "what a hook raises inside the decoder counts as the message's fault" })
  end)
  describe("processes:", function()
    scenarios("process", 4, {
      ["Process:start"] = "a child that was just started is known to nobody",
      ["Process:start, a daemon"] = "a child that was just started is known to nobody",
      at_fork = "a child that was just started is known to nobody",
      ["Process:extend"] = "a child that was just started is known to nobody",
      ["Process, <close>"] = "a child that was just started is known to nobody",
      ["Process:result"] = "an error while the result is taken in counts as the child's",
      ["Process:result, an error"] = "an error while the result is taken in counts as the child's",
    })
  end)
end)
