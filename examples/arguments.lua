-- SPDX-License-Identifier: MIT
-- Positional arguments are passed on as they are, nils included; named ones arrive as one table after them.

local mproc = require("mproc")

local function describe(first, second, third, options)
  return ("first=%s second=%s third=%s unit=%s"):format(first, second, third, options and options.unit)
end

local both = mproc.Process{ target = describe, args = { 1, nil, "three", n = 3 }, kwargs = { unit = "km" } }:start()
print("positional and named:", (both:result()))

local positional = mproc.Process(describe, "a", "b", "c"):start()
print("positional:", (positional:result()))

local single = mproc.Process{ target = describe, args = "only" }:start()
print("a single value:", (single:result()))
