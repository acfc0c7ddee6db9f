-- SPDX-License-Identifier: MIT
-- Makes bytes that claim to be objects, as src/codec/format.h has them, and calls every method of what they decode to.

local mproc = require("mproc")

local forge = {}

local ONE, INT64, FLOAT, STRING, TABLE, GLOBALS, MODULE, FIELD, REGISTERED, META, HOOKED, PLAIN, OBJECT =
  "\xB1", "\6", "\7", "\8", "\9", "\19", "\20", "\21", "\22", "\23", "\25", "\26", "\27"

local function varint(n)
  local s = ""
  while n >= 0x80 do
    s, n = s .. string.char(n & 0x7f | 0x80), n >> 7
  end
  return s .. string.char(n)
end

local function text(s)
  return STRING .. varint(#s) .. s
end

local INTEGERS = { 0, 1, 2, -1, 3, 255, 4096, 1 << 16, 1 << 24, 1 << 31, 1 << 32, (1 << 32) + 1, 1 << 53, 1 << 61,
  math.maxinteger, math.mininteger }
local NUMBERS = { 0.0, -0.5, 1e300, math.huge, -math.huge, 0 / 0 }
local REGISTERED_NAMES = { "mproc.Condition", "mproc.Barrier", "mproc.Peer", "mproc.Died", "mproc.PoolError" }
-- What objects of tables keep: in order, and by these names.
local KEYS = { 1, 2, 3, 4, "name", "pid", "_ref", "pid", "_ref", "ident", "daemon", "message", "kind", "code", "signal",
  "item", "traceback", "exitcode", "index", "process", "lock", "condition", "barrier", "state", "action", "parties" }

-- Tables of the library's modules, by which bytes can name a metatable.
local function fields()
  local list = {}
  for name, module in pairs(package.loaded) do
    if name:find("^mproc") and type(module) == "table" then
      list[#list + 1] = MODULE .. text(name)
      for key, value in pairs(module) do
        if type(key) == "string" and type(value) == "table" then
          list[#list + 1] = FIELD .. text(name) .. text(key)
        end
      end
    end
  end
  table.sort(list)
  return list
end

local function pick(random, list)
  return list[random(#list)]
end

-- handles: those of live objects, as integers.
function forge.new(random, handles)
  local named, value = fields(), nil

  local function handle()
    local h = random(8) > 1 and pick(random, handles) or random(0)
    local change = random(8)
    if change == 1 then
      h = h ~ 1 << random(0, 63)
    elseif change == 2 then
      h = h + random(-2, 2)
    elseif change == 3 then
      h = h & ~(0xff << 24) | random(0, 3) << 24
    end
    return OBJECT .. ("<i8"):pack(h)
  end

  local function number()
    if random(5) == 1 then return FLOAT .. ("<d"):pack(pick(random, NUMBERS)) end
    return INT64 .. ("<i8"):pack(random(2) == 1 and pick(random, INTEGERS) or random(0) >> random(0, 63))
  end

  local function contents(depth)
    local items, pairs_ = {}, {}
    for i = 1, random(0, 3) do items[i] = value(depth - 1) end
    for i = 1, random(0, 4) do
      local key = pick(random, KEYS)
      key = type(key) == "string" and text(key) or INT64 .. ("<i8"):pack(key)
      pairs_[i] = key .. (random(2) == 1 and number() or value(depth - 1))
    end
    return TABLE .. varint(#items) .. string.char(#pairs_) .. table.concat(items) .. table.concat(pairs_)
  end

  local function designator()
    return random(3) > 1 and REGISTERED .. text(pick(random, REGISTERED_NAMES)) or pick(random, named)
  end

  local kinds = {
    handle, handle, handle, number,
    function() return text(("x"):rep(random(0, 40))) end,
    function() return string.char(random(0, 2)) end,
    contents,
    function(depth) return META .. designator() .. contents(depth) end,
    function(depth) return META .. designator() .. contents(depth) end,
    function(depth) return HOOKED .. designator() .. value(depth - 1) end,
    function(depth) return PLAIN .. value(depth - 1) end,
    function() return random(9) == 1 and GLOBALS or pick(random, named) end,
  }

  function value(depth)
    return depth > 0 and pick(random, kinds)(depth) or handle()
  end

  return function()
    local kind = random(3) == 1 and handle or pick(random, kinds)
    return ONE .. kind(2)
  end
end

function forge.handle_of(object)
  local bytes = mproc.encode(object)
  local at = bytes:find(OBJECT, 1, true)
  return at and ("<i8"):unpack(bytes, at + 1)
end

-- Short of everything that would wait for long, or begin or end something for others.
local ARGUMENTS = {
  {}, { 0 }, { 0, 0 }, { 1, 0 }, { -1 }, { 1 << 61, 0 }, { 0.5, 0 }, { "x", 0 }, { {}, 0 }, { true, 0 }, { 0, "x", 0 },
  { "self", 0 }, { 1, 1, 1, 0 },
}
ARGUMENTS[11] = { function() return 1 end, 0 }
local WAITS = { "acquire", "guard", "with", "wait", "get", "put", "take", "join", "recv", "send", "lease", "poll",
  "messages", "update", "result", "^__call" }

local function may_wait(name)
  for _, word in ipairs(WAITS) do
    if name:find(word) then return true end
  end
end

local function call(f, object, name)
  for _, arguments in ipairs(ARGUMENTS) do
    local first, last = arguments[1], arguments[#arguments]
    local waits = may_wait(name) and (last ~= 0 or math.type(first) and first ~= 0)
    if name == "recv_bytes" then waits = first == nil or math.type(first) end
    if not waits and not (name:find("with") and type(first) == "function") then
      local list = { table.unpack(arguments) }
      if list[1] == "self" then list[1] = object end
      pcall(f, object, table.unpack(list))
    end
  end
end

-- Metamethods, and what indexing gives.
local function methods_of(object)
  local mt = (type(object) == "userdata" or type(object) == "table") and debug.getmetatable(object)
  local found, index = {}, type(mt) == "table" and rawget(mt, "__index")
  for name, f in pairs(type(mt) == "table" and mt or {}) do
    if type(f) == "function" and type(name) == "string" and name:find("^__") and name ~= "__gc" then found[name] = f end
  end
  for name, f in pairs(type(index) == "table" and index or {}) do
    if type(f) == "function" then found[name] = f end
  end
  return found
end

-- Calls each method of the value and, twice over, of what lies in it. Returns how many it found.
function forge.use(object, depth)
  local count = 0
  pcall(tostring, object)
  pcall(mproc.encode, object)
  pcall(mproc.unsendable, object)
  pcall(mproc.wait, { object }, 0)
  pcall(function() return object == object, #object end)
  pcall(function() return object .. "", object.name, object[1] end)
  for name, f in pairs(methods_of(object)) do
    count = count + 1
    call(f, object, name)
  end
  if type(object) == "table" and depth > 0 and getmetatable(object) then
    for _, inner in next, object do count = count + forge.use(inner, depth - 1) end
  end
  pcall(function()
    for _, name in ipairs({ "release", "read_release", "write_release", "close" }) do pcall(object[name], object) end
  end)
  return count
end

return forge
