-- SPDX-License-Identifier: MIT
-- Round trips a second of a serializer for Lua: decode(encode(v)). Usage: codec_side.lua SERIALIZER VALUE SECONDS
-- Run by Lua 5.4, and by LuaJIT for its string.buffer.

package.path = package.path .. ";/usr/share/lua/5.3/?.lua"
package.cpath = (os.getenv("BUILD") or "build") .. "/bench/?.so;" .. package.cpath
local values = require("bench.codec_values")

-- Calls a second, by CPU time, of decode(encode(v)), after a tenth of that time to warm up.
local function rate(encode, decode, v, seconds)
  local batch, done, began = 1, 0, os.clock()
  local warm = began + seconds / 10
  repeat
    for _ = 1, batch do
      decode(encode(v))
    end
    done = done + batch
    local at = os.clock()
    if at < warm then
      batch, done, began = math.ceil(batch * 1.5), 0, at
    end
  until at - began >= seconds
  return done / (os.clock() - began)
end

local serializers = {
  mproc = function()
    local m = require("mproc")
    return m.encode, m.decode
  end,
  messagepack = function()
    local m = require("MessagePack")
    m.set_number("double")
    return m.pack, m.unpack
  end,
  cmsgpack = function()
    local m = require("cmsgpack")
    return m.pack, m.unpack
  end,
  cjson = function()
    local m = require("cjson")
    return m.encode, m.decode
  end,
  string_buffer = function()
    local m = require("string.buffer")
    return m.encode, m.decode
  end,
}

local encode, decode = serializers[arg[1]]()
print(rate(encode, decode, values[arg[2]](), tonumber(arg[3])))
