-- SPDX-License-Identifier: MIT
-- Plain tables as JSON text, and back. Used by mproc.cli.top, which writes, and mproc.cli.report, which reads.
-- A table with something at [1], or marked by json.list, is a list.

local json = {}

local List = {}

-- A list that may be empty.
function json.list(t)
  return setmetatable(t, List)
end

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(c)
  return ESCAPES[c] or ("\\u%04x"):format(c:byte())
end

-- Bytes that are no UTF-8 become what Latin-1 has there.
function json.text(s)
  if not utf8.len(s) then
    s = s:gsub("[\128-\255]", function(c) return utf8.char(c:byte()) end)
  end
  return '"' .. s:gsub('[%c"\\\127]', escape) .. '"'
end

local function number(n)
  if math.type(n) == "integer" then
    return ("%d"):format(n)
  elseif n ~= n or n == math.huge or n == -math.huge then
    return "null"
  end
  return (("%.9g"):format(n):gsub(",", "."))
end

local encode

local function encode_list(t)
  local parts = {}
  for i, v in ipairs(t) do
    parts[i] = encode(v)
  end
  return "[" .. table.concat(parts, ",") .. "]"
end

local function encode_object(t)
  local names, parts = {}, {}
  for name in pairs(t) do
    names[#names + 1] = tostring(name)
  end
  table.sort(names)
  for i, name in ipairs(names) do
    parts[i] = json.text(name) .. ":" .. encode(t[name])
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

function encode(v)
  local kind = type(v)
  if kind == "table" then
    return (getmetatable(v) == List or v[1] ~= nil) and encode_list(v) or encode_object(v)
  elseif kind == "string" then
    return json.text(v)
  elseif kind == "number" then
    return number(v)
  end
  return tostring(v)
end

-- The text for nil (null), booleans, numbers, strings and tables of them with names as keys.
function json.encode(v)
  return v == nil and "null" or encode(v)
end

-- --- reading ---

local UNESCAPED = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local NAMES = { ["true"] = true, ["false"] = false, null = false }
local DEPTH_MOST = 100

local function fail(at)
  error(at, 0)
end

local function unescape(text)
  return (text:gsub("\\u(%x%x%x%x)", function(hex)
    return utf8.char(tonumber(hex, 16))
  end):gsub("\\(.)", function(c) return UNESCAPED[c] or c end))
end

local function read_text(s, at)
  local last = at
  repeat
    last = s:find('["\\]', last + 1) or fail(at)
    local escaped = s:sub(last, last) == "\\"
    last = escaped and last + 1 or last
  until not escaped
  return unescape(s:sub(at + 1, last - 1)), last + 1
end

local read

-- The elements up to `close`, each read by each(at) -> at.
local function read_elements(s, at, close, each)
  at = s:match("^%s*()", at + 1)
  if s:sub(at, at) == close then
    return at + 1
  end
  while true do
    at = s:match("^%s*()", each(s:match("^%s*()", at)))
    local c = s:sub(at, at)
    if c == close then
      return at + 1
    elseif c ~= "," then
      fail(at)
    end
    at = at + 1
  end
end

local function read_object(s, at, depth)
  local object = {}
  local after = read_elements(s, at, "}", function(from)
    local name, behind = read_text(s, s:sub(from, from) == '"' and from or fail(from))
    object[name], behind = read(s, s:match("^%s*:%s*()", behind) or fail(behind), depth + 1)
    return behind
  end)
  return object, after
end

local function read_list(s, at, depth)
  local list = json.list({})
  local after = read_elements(s, at, "]", function(from)
    local behind
    list[#list + 1], behind = read(s, from, depth + 1)
    return behind
  end)
  return list, after
end

function read(s, at, depth)
  local c = s:sub(at, at)
  if depth > DEPTH_MOST then
    fail(at)
  elseif c == "{" then
    return read_object(s, at, depth)
  elseif c == "[" then
    return read_list(s, at, depth)
  elseif c == '"' then
    return read_text(s, at)
  end
  local name = s:match("^%a+", at)
  if name and NAMES[name] ~= nil then
    return NAMES[name], at + #name
  end
  local digits = s:match("^%-?%d[%d.eE+-]*", at)
  return tonumber(digits) or fail(at), at + #(digits or "")
end

-- The value of the text, null being false; nil when it is no JSON.
function json.decode(s)
  local ok, value, after = pcall(read, s, s:match("^%s*()"), 0)
  if ok and s:find("^%s*$", after) then
    return value
  end
  return nil
end

return json
