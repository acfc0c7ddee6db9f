-- SPDX-License-Identifier: MIT
-- What specs of the codec share.

local mproc = require("mproc")

local codec = {}

-- Equal bit for bit, shared references included.
local function same(a, b, seen)
  if rawequal(a, b) and a ~= 0 then return true end
  if type(a) ~= type(b) or math.type(a) ~= math.type(b) then return false end
  if math.type(a) then return string.pack("n", a) == string.pack("n", b) end
  if type(a) ~= "table" then return false end
  if seen[a] then return seen[a] == b end
  seen[a] = b
  for k, v in next, a do
    if not same(v, b[k], seen) then return false end
  end
  for k in next, b do
    if a[k] == nil then return false end
  end
  return true
end

-- What v becomes by a trip, with functions.
function codec.trip(v)
  local value, message = mproc.decode(mproc.encode(v), { functions = true })
  assert(message == nil, message)
  return value
end

-- Asserts that a trip changes nothing in v.
function codec.assert_trips(v)
  if not same(v, codec.trip(v), {}) then
    error("a trip has changed it", 2)
  end
end

-- { f(1), … f(n) }
function codec.list(n, f)
  local t = {}
  for i = 1, n do t[i] = f(i) end
  return t
end

-- A name that nothing has been registered by.
local count = 0
function codec.new_name()
  count = count + 1
  return ("codec_spec.%d.%s"):format(count, tostring({}))
end

return codec
