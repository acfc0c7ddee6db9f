-- SPDX-License-Identifier: MIT
-- Each thing that a program's own function may do, in each place where a pool's owner calls one: the call that caused
-- it has its own error, nobody else has, and the pool can be used, or says that it cannot, and be joined.

local table_of_tests = require("spec.faults.user_code.specs")

describe("in the owner of a pool", function()
  table_of_tests("owner", function() return nil end)
end)
