-- SPDX-License-Identifier: MIT
-- For programs in a small arena (MPROC_ARENA=16M): every call with none, one, two … pages left for it, so that each of
-- its allocations in shared memory is the one that fails. One page more each time is the nth allocation failing.

local core = require("mproc.core")
local mproc = require("mproc")

local full_arena = {}

local PAGE = 4096
local ONE_PAGE = 3000 -- bytes of an array that takes a page, with its head
local LARGEST = 8 << 20

local function collect()
  collectgarbage()
  collectgarbage()
end

-- Takes all there is. The first `pages` are single ones, side by side, to be given back one by one.
local function fill(pages)
  local singles, others = {}, {}
  for i = 1, pages do
    singles[i] = assert(mproc.Array("uint8", ONE_PAGE))
  end
  local size = LARGEST
  while size >= PAGE do
    local array = mproc.Array("uint8", size - PAGE + ONE_PAGE)
    if array then
      others[#others + 1] = array
    else
      size = size // 2
    end
  end
  return singles, others
end

local function outcome(ok, ...)
  local first, message, name = ...
  if not ok then
    return "raised: " .. tostring(first)
  elseif (first == nil or first == false) and message ~= nil then
    return name == "ENOMEM" and message:find("MPROC_ARENA", 1, true) and "full"
      or ("%s: %s"):format(tostring(name), tostring(message))
  end
  return "ok"
end

-- prepare() makes what the call needs and returns the call and, perhaps, a check that must hold afterwards, whatever
-- came of the call. The call is made with 0, stride, 2 * stride … pages left until it has succeeded three times in a
-- row, and after each time with all memory free. Prints the kinds of outcomes, in the order in which they first came.
function full_arena.try(prepare, pages, stride)
  local seen, good = {}, 0
  for left = 0, pages, stride do
    local call, check = prepare()
    collect()
    local before = core.stats().objects
    local filling = { fill(pages) } -- luacheck: ignore 241
    for i = 1, left do filling[1][i] = nil end
    collect()
    local results = table.pack(pcall(call))
    local what = outcome(table.unpack(results, 1, results.n))
    if not seen[what] then
      seen[what] = true
      seen[#seen + 1] = what
    end
    good = what == "ok" and good + 1 or 0
    filling, results = nil, nil -- luacheck: ignore 311
    collect()
    if check then check(what == "ok") end
    collect()
    local after = core.stats().objects
    if after > before then print(("%d objects leaked with %d pages left"):format(after - before, left)) end
    what = outcome(pcall(call))
    if what ~= "ok" then print("with free memory: " .. what) end
    if check then check(true) end
    if good == 3 then break end
  end
  print(table.concat(seen, ", "))
end

return full_arena
