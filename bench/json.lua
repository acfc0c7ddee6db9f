-- SPDX-License-Identifier: MIT
-- JSON for bench/results.json: just what rows are made of. Lists are tables with [1]; keys are written sorted, so that
-- two runs differ only in their figures.

local json = {}

local write

local function quote(s)
  return '"' .. s:gsub('[%c"\\]', function(c)
    return ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local function write_list(list)
  local words = {}
  for i, v in ipairs(list) do
    words[i] = write(v)
  end
  return "[" .. table.concat(words, ",") .. "]"
end

local function write_object(t)
  local words = {}
  for k, v in pairs(t) do
    words[#words + 1] = quote(k) .. ":" .. write(v)
  end
  table.sort(words)
  return "{" .. table.concat(words, ",") .. "}"
end

-- JSON has neither infinities nor NaN.
local function write_number(n)
  if n ~= n or n == math.huge or n == -math.huge then
    return "null"
  end
  return math.type(n) == "integer" and tostring(n) or ("%.6g"):format(n)
end

function write(v)
  if type(v) == "table" then
    return (v[1] ~= nil or next(v) == nil) and write_list(v) or write_object(v)
  elseif type(v) == "string" then
    return quote(v)
  end
  return type(v) == "number" and write_number(v) or tostring(v)
end

-- write(value) -> text on one line
json.write = write

local read

-- Reads what is between brackets by `item(at)` -> position behind it.
local function read_between(text, at, close, item)
  at = text:match("^%s*()", at + 1)
  while text:sub(at, at) ~= close do
    at = item(at)
    at = text:match("^%s*,?%s*()", at)
    assert(at <= #text, "JSON is cut off")
  end
  return at + 1
end

local function read_list(text, at)
  local list = {}
  return list, read_between(text, at, "]", function(here)
    list[#list + 1], here = read(text, here)
    return here
  end)
end

local function read_object(text, at)
  local t = {}
  return t, read_between(text, at, "}", function(here)
    local key
    key, here = read(text, here)
    t[key], here = read(text, text:match("^%s*:%s*()", here))
    return here
  end)
end

local function read_string(text, at)
  local body, behind = text:match('^"([^"]*)"()', at)
  return body:gsub("\\u(%x%x%x%x)", function(x)
    return utf8.char(tonumber(x, 16))
  end), behind
end

local WORDS = { ["true"] = true, ["false"] = false }

function read(text, at)
  local first = text:sub(at, at)
  if first == "[" then
    return read_list(text, at)
  elseif first == "{" then
    return read_object(text, at)
  elseif first == '"' then
    return read_string(text, at)
  end
  local word, behind = text:match("^([%w%.%+%-]+)()", at)
  assert(word, "no JSON at byte " .. at)
  return WORDS[word] == nil and tonumber(word) or WORDS[word], behind
end

-- read(text) -> value: of what write has written; raises for anything else
function json.read(text)
  return (read(text, text:match("^%s*()")))
end

return json
