-- SPDX-License-Identifier: MIT
-- Each thing that a program's own function may do, in each place where a worker of a pool calls one: the call that
-- caused it has its own error, nobody else has, and the pool can be used, or says that it cannot, and be joined.

local table_of_tests = require("spec.faults.user_code.specs")

describe("in a worker of a pool", function()
  table_of_tests("worker", function()
    return nil
  end)
end)
