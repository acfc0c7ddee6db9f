-- SPDX-License-Identifier: MIT
-- The same as in raise_everywhere_spec.lua for processes that are no forks.

local scenarios = require("spec.faults.raise.specs")

describe("an error out of nowhere in a start by spawn or forkserver:", function() scenarios("start_methods", 2) end)
