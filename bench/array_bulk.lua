-- SPDX-License-Identifier: MIT
-- Claim: copies of a whole array to and from Lua are as quick as Python's slices of multiprocessing.Array: lists of a
-- million doubles in millions of elements a second, 100 MB of bytes in GB/s (about as quick there).

local harness = require("bench.harness")
local mproc = require("mproc")

local COUNT = 1000000
local BYTES = 100000000
local REPEATS = 10

-- Calls a second.
local function rate(repeats, f)
  local began = mproc.time()
  for _ = 1, repeats do
    f()
  end
  return repeats / (mproc.time() - began)
end

local doubles = mproc.Array("double", COUNT)
local list = {}
for i = 1, COUNT do
  list[i] = i + 0.5
end

local function as_quick(found)
  return not found.python or found.median >= found.python
end

-- Both sides copy memory and touch new pages, and nothing else: the tenth is what a quiet machine's noise is.
local function about_as_quick(found)
  return not found.python or found.median >= 0.9 * found.python
end

harness.run({
  title = "a:set(1, list), M elements/s",
  better = "more",
  mproc = function()
    return rate(REPEATS, function()
      doubles:set(1, list)
    end) * COUNT / 1e6
  end,
  python = harness.python("array_set", COUNT),
  reach = ">= Python",
  reached = as_quick,
})

harness.run({
  title = "a:totable(), M elements/s",
  better = "more",
  mproc = function()
    return rate(REPEATS, function()
      doubles:totable()
    end) * COUNT / 1e6
  end,
  python = harness.python("array_list", COUNT),
  reach = ">= Python",
  reached = as_quick,
})

local bytes = mproc.Array("uint8", BYTES)
local text = ("x"):rep(BYTES)

harness.run({
  title = "a:set_bytes(1, s), GB/s",
  better = "more",
  mproc = function()
    return rate(REPEATS, function()
      bytes:set_bytes(1, text)
    end) * BYTES / 1e9
  end,
  python = harness.python("array_set_bytes", BYTES),
  reach = ">= 0.9 x Python",
  reached = about_as_quick,
})

harness.run({
  title = "a:bytes(), GB/s",
  better = "more",
  mproc = function()
    return rate(REPEATS, function()
      bytes:bytes()
    end) * BYTES / 1e9
  end,
  python = harness.python("array_bytes", BYTES),
  reach = ">= 0.9 x Python",
  reached = about_as_quick,
})
