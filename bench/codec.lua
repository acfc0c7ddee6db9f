-- SPDX-License-Identifier: MIT
-- Claims: decode(encode(v)), by CPU time, is ahead of every serializer that runs on PUC Lua, on the same values: 1.6
-- times as fast as lua-cmsgpack and lua-cjson on records and trees, 3 times on arrays of numbers. In round trips a
-- second. lua-cmsgpack is built from Debian's source of redis (make bench-deps), lua-cjson is Debian's: OpenResty's own
-- is in no package. LuaJIT's string.buffer is another interpreter's, and shown for the distance. Each side has an
-- interpreter of its own.

local harness = require("bench.harness")

local ROWS = {
  { "small record", "small_record", times = 1.6 },
  { "100 records", "records", times = 1.6 },
  { "100,000 integers", "integers", times = 3 },
  { "100,000 floats", "floats", times = 3 },
  { "tree of 10,000 nodes", "tree", times = 1.6 },
  { "1 MiB string", "mib_string", times = 1 },
}

local PEERS = { "lua-cmsgpack", "lua-cjson", "lua-messagepack" }

local function ahead_by(times)
  return function(found)
    for _, name in ipairs(PEERS) do
      local peer = found.sides[name]
      if not peer or peer.times.median < times then -- what is not there is not passed
        return false
      end
    end
    return true
  end
end

for _, row in ipairs(ROWS) do
  local name = row[2]
  harness.run({
    title = row[1] .. ", round trips/s",
    better = "more",
    mproc = harness.lua("peers/codec_side", "mproc", name, harness.SECONDS),
    peers = {
      harness.peer("cmsgpack", name, harness.SECONDS),
      harness.peer("messagepack", name, harness.SECONDS),
      harness.peer("cjson", name, harness.SECONDS),
      harness.peer("string_buffer", name, harness.SECONDS),
    },
    reach = (">= %s x all in PUC Lua"):format(row.times),
    reached = ahead_by(row.times),
  })
end
