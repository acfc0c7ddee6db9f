-- SPDX-License-Identifier: MIT
-- Plain tables as JSON text. Used by mproc.cli.top; mproc.cli.timeline reads what mproc trace wrote with it.
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

return json
