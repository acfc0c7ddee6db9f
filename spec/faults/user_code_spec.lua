-- SPDX-License-Identifier: MIT
-- Each thing that a program's own function may do, in each place where a pool's owner calls one: the call that caused
-- it has its own error, nobody else has, and the pool can be used, or says that it cannot, and be joined.

local table_of_tests = require("spec.faults.user_code.specs")

describe("in the owner of a pool", function()
  table_of_tests("owner", function(_, act)
    if act:find("interrupted") then return "a text decides what is Ctrl-C" end
    if act:find("terminates") then return "what terminates the pool meets fields that are gone" end
    if act:find("is closed") or act:find("is dropped") then return "a call that is left leaves its items behind" end
    if act:find("joins") then return "the text is about a queue" end
    return nil
  end)
end)
