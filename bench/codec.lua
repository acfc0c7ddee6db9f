-- SPDX-License-Identifier: MIT
-- Claims: decode(encode(v)), by CPU time, is ahead of every serializer that runs on PUC Lua, on the same values. In
-- round trips a second. lua-cmsgpack and OpenResty's cjson are in no Debian package: their figures come from a machine
-- where lua-messagepack was measured as well, and what is compared is how many times quicker than lua-messagepack each
-- is. That covers four kinds of value (the "medium table" there is not our record, only of its size); with the other
-- values nothing is claimed but to be ahead of what was run here. LuaJIT's string.buffer is another interpreter's, and
-- shown for the distance. Each side has an interpreter of its own.

local harness = require("bench.harness")

-- Round trips a second, all of them measured on that other machine.
local ELSEWHERE = {
  small = { messagepack = 238e3, cmsgpack = 1.27e6, cjson = 1.31e6 },
  integers = { messagepack = 22, cmsgpack = 206, cjson = 119 },
  floats = { messagepack = 31, cmsgpack = 196, cjson = 30 },
  tree = { messagepack = 44, cmsgpack = 233, cjson = 249 },
}

local ROWS = {
  { "small record", "small_record", times = 1.6, of = ELSEWHERE.small },
  { "100 records", "records", times = 1.6, of = ELSEWHERE.small },
  { "100,000 integers", "integers", times = 3, of = ELSEWHERE.integers },
  { "100,000 floats", "floats", times = 3, of = ELSEWHERE.floats },
  { "tree of 10,000 nodes", "tree", times = 1.6, of = ELSEWHERE.tree },
  { "1 MiB string", "mib_string" },
}

-- How many times lua-messagepack's rate is wanted, when the peers of elsewhere are to be left behind that far.
local function wanted(row)
  return row.times * math.max(row.of.cmsgpack, row.of.cjson) / row.of.messagepack
end

local function ahead_of_all(found)
  for _, name in ipairs({ "lua-messagepack", "lua-cjson" }) do
    if found.sides[name] and found.sides[name].times.median < 1 then
      return false
    end
  end
  return true
end

local function reached(row)
  return function(found)
    local messagepack = found.sides["lua-messagepack"]
    if row.of and messagepack and messagepack.times.median < wanted(row) then
      return false
    end
    return ahead_of_all(found)
  end
end

for _, row in ipairs(ROWS) do
  local name = row[2]
  harness.run({
    title = row[1] .. ", round trips/s",
    better = "more",
    mproc = harness.lua("peers/codec_side", "mproc", name, harness.SECONDS),
    peers = {
      harness.peer("messagepack", name, harness.SECONDS),
      harness.peer("cjson", name, harness.SECONDS),
      harness.peer("string_buffer", name, harness.SECONDS),
    },
    reach = row.of and (">= %.1f messagepack"):format(wanted(row)) or "ahead of all in PUC",
    reached = reached(row),
  })
end
