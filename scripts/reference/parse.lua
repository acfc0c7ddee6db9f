-- SPDX-License-Identifier: MIT
-- Reads the LuaCATS annotations of library/ into plain tables. Used by scripts/reference.lua.
--
-- What it understands is a part of what lua-language-server does; anything else is an error, so that nothing which an
-- editor shows is missing in the reference:
--
--   ---@meta _                                    once in each file
--   --- # Title, and the text below it            once in each file: the area
--   ---@class name[: parent], ---@field ...       then `local q = {}` when objects have methods
--   ---@alias name, ---| '"value"' # text
--   text, ---@param, ---@return, ---@overload     then `function q:put(value) end` or `mproc.Process = p`
--   ---@package                                   hidden: a name that is there, but not for users
--
-- An area: { path, title, text, items }. An item: { kind, where, text, hidden, ... }, with
--   kind "class":    name, parent, fields, overloads, bound (objects have it as their metatable's)
--   kind "alias":    name, values: a list of { value, text }
--   kind "function": owner (a class), member, call ("q:put"), params, returns, overloads
--   kind "value":    owner, member, call
-- fields, params, returns: lists of { name, optional, type, text, hidden }.

local parse = {}

local function fail(where, format, ...)
  error(("%s: %s"):format(where, format:format(...)), 0)
end

local CLOSING = { ["("] = ")", ["<"] = ">", ["{"] = "}", ["["] = "]" }

-- Splits "fun(a: integer): boolean what it is" behind the type, which ends at a space outside all brackets, unless that
-- follows a colon or a comma.
local function split_type(text)
  local open, quote = {}, nil
  for i = 1, #text do
    local c = text:sub(i, i)
    if quote then
      quote = c ~= quote and quote or nil
    elseif c == '"' then
      quote = c
    elseif CLOSING[c] then
      open[#open + 1] = CLOSING[c]
    elseif c == open[#open] then
      open[#open] = nil
    elseif c == " " and #open == 0 and not text:sub(i - 1, i - 1):find("[:,]") then
      return text:sub(1, i - 1), text:sub(i + 1)
    end
  end
  return text, ""
end

local function trim(text)
  return (text:gsub("^%s+", ""):gsub("%s+$", ""))
end

-- The lines of a text, without empty ones at its ends.
local function join(lines)
  return trim(table.concat(lines, "\n"))
end

local TAGS = {}

function TAGS.class(block, rest, where)
  local name, parent = rest:match("^([%w_.]+)%s*:?%s*([%w_.]*)$")
  if not name then
    fail(where, "a class is 'name' or 'name: parent', got '%s'", rest)
  end
  block.kind, block.name, block.parent = "class", name, parent ~= "" and parent or nil
  block.fields = {}
  block.text, block.lines = join(block.lines), {}
end

function TAGS.field(block, rest, where)
  if block.kind ~= "class" then
    fail(where, "a field belongs below a class")
  end
  local shown, hidden = rest:gsub("^package%s+", "")
  local name, optional, tail = shown:match("^([%w_%[%]]+)(%??)%s+(.*)$")
  if not name then
    fail(where, "a field is 'name type text', got '%s'", rest)
  end
  local kind, text = split_type(tail)
  local above = join(block.lines)
  block.lines = {}
  table.insert(block.fields, { name = name, optional = optional == "?", type = kind, where = where,
    hidden = hidden > 0, text = trim(above .. (above ~= "" and text ~= "" and "\n" or "") .. text) })
end

function TAGS.alias(block, rest)
  block.kind, block.name, block.values = "alias", rest, {}
  block.text, block.lines = join(block.lines), {}
end

function TAGS.param(block, rest, where)
  local name, optional, tail = rest:match("^([%w_.]+)(%??)%s+(.*)$")
  if not name then
    fail(where, "a parameter is 'name type text', got '%s'", rest)
  end
  local kind, text = split_type(tail)
  table.insert(block.params, { name = name, optional = optional == "?", type = kind, text = trim(text), where = where })
end

TAGS["return"] = function(block, rest, where)
  local kind, tail = split_type(rest)
  local name, text = tail:match("^([%w_.]+)%s+(.*)$")
  if not name then
    fail(where, "a result is 'type name text', got '%s'", rest)
  end
  table.insert(block.returns, { name = name, type = kind, text = trim(text), where = where })
end

function TAGS.overload(block, rest)
  table.insert(block.overloads, rest)
end

function TAGS.package(block)
  block.hidden = true
end

local function new_block(where)
  return { where = where, lines = {}, params = {}, returns = {}, overloads = {} }
end

local function read_line(block, line, where)
  local tag, rest = line:match("^%-%-%-@(%a+)%s*(.*)$")
  if tag then
    if not TAGS[tag] then
      fail(where, "@%s is not understood here", tag)
    end
    return TAGS[tag](block, rest, where)
  end
  local value, text = line:match("^%-%-%-|%s*'(.-)'%s*#%s*(.*)$")
  if value then
    return table.insert(block.values, { value = value, text = text })
  end
  table.insert(block.lines, (line:gsub("^%-%-%- ?", "")))
end

local function take_text(block)
  if not block.text or #block.lines > 0 then
    block.text = trim((block.text or "") .. "\n" .. join(block.lines))
  end
  block.lines = nil
  return block
end

-- What stands behind the block: a declaration, or nothing.
local function declare(area, classes, block, code, where)
  local name = code:match("^local ([%w_]+) = {}$")
  if name then
    if block.kind ~= "class" then
      fail(where, "'%s' has no ---@class above it", code)
    end
    classes[name], block.bound = block.name, name
    return block.text ~= "" and table.insert(area.items, block) or nil
  end
  local receiver, separator, member, params = code:match("^function ([%w_]+)([.:])([%w_]+)%((.*)%) end$")
  if not receiver then
    receiver, member = code:match("^([%w_]+)%.([%w_]+) = [%w_]+$")
    separator = "."
  end
  if not receiver or block.kind or not classes[receiver] then
    fail(where, "'%s' is no declaration that is understood here", code)
  end
  block.kind, block.signature = params and "function" or "value", params
  block.owner, block.member, block.call = classes[receiver], member, receiver .. separator .. member
  table.insert(area.items, block)
end

local function end_block(area, classes, block, code, where)
  take_text(block)
  local title, text = block.text:match("^# ([^\n]+)\n*(.*)$")
  if title then
    if area.title or code then
      fail(where, "the title stands alone, and there is one in each file")
    end
    area.title, area.text = title, text
  elseif code then
    declare(area, classes, block, code, where)
  elseif block.kind then
    table.insert(area.items, block)
  else
    fail(block.where, "this text stands above nothing")
  end
end

-- Code that declares nothing for the reference.
local function is_silent(line)
  return line:find("^%-%-") or line:find("^return [%w_]+$") or line == ""
end

-- The area that a file describes; raises for what is not understood.
function parse.file(path)
  local area, classes, block = { path = path, items = {} }, {}, nil
  local file <close> = assert(io.open(path))
  local number = 0
  for line in file:lines() do
    number = number + 1
    local where = ("%s:%d"):format(path, number)
    if line:find("^%-%-%-@meta") then
      area.meta = true
    elseif line:find("^%-%-%-") then
      block = block or new_block(where)
      read_line(block, line, where)
    elseif block then
      end_block(area, classes, block, line ~= "" and line or nil, where)
      block = nil
    elseif not is_silent(line) then
      fail(where, "'%s' has no text above it", line)
    end
  end
  if block then
    end_block(area, classes, block, nil, path)
  end
  if not area.meta or not area.title then
    fail(path, "there must be a ---@meta line and a title")
  end
  return area
end

return parse
