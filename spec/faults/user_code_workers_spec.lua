-- SPDX-License-Identifier: MIT
-- Each thing that a program's own function may do, in each place where a worker of a pool calls one: the call that
-- caused it has its own error, nobody else has, and the pool can be used, or says that it cannot, and be joined.

local table_of_tests = require("spec.faults.user_code.specs")

describe("in a worker of a pool", function()
  table_of_tests("worker", function(place, act)
    if place == "the initializer" and (act:find("file") or act:find("object")) then
      return "an initializer's error that cannot travel forks workers without an end"
    end
    if place == "the hook that encodes a result" and act == "raises a table" then
      return "the table is lost"
    end
    return nil
  end)
end)
