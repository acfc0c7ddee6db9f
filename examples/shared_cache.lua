-- SPDX-License-Identifier: MIT
-- A cache that the workers of a pool share: it keeps to a number of entries, and what is asked for stays. Whoever finds
-- nothing there computes, and all others have it from then on.
-- Usage: lua examples/shared_cache.lua [requests]

local mproc = require("mproc")

local REQUESTS = math.tointeger(arg and arg[1]) or 3000
local HOT, COLD = 50, 2000 -- pages that are asked for all the time, and now and then
local ENTRIES = 200
local STEPS = 20000

local cache = assert(mproc.Dict(nil, { max_entries = ENTRIES }))
local made = assert(mproc.Dict())

-- What takes long.
local function make_page(number)
  local sum = number
  for i = 1, STEPS do
    sum = (sum * 31 + i) % 1000003
  end
  return { number = number, sum = sum }
end

local function page(number)
  local found = cache:get(number)
  if not found then
    found = make_page(number)
    cache:set(number, found)
    made:add(number <= HOT and "hot" or "cold", 1)
  end
  return found.sum
end

local requests = {}
for i = 1, REQUESTS do
  requests[i] = i % 4 == 0 and HOT + i * 7919 % COLD or i * 31 % HOT + 1
end

local pool <close> = mproc.Pool()
local sums = pool:map(page, requests)
assert(sums[1] == make_page(requests[1]).sum)

print(("%d requests; %d times a hot page was made, %d times a cold one"):format(#sums, made:get("hot", 0),
  made:get("cold", 0)))
print(("the cache has %d entries; %d went"):format(#cache, cache:stats().evictions))
