-- SPDX-License-Identifier: MIT
-- Commands with places for arguments: {} and its relatives. Used by mproc.cli.run.
--
-- An argument is a list of columns: one value of each `:::`, or the columns of a line, which tabs separate.

local template = {}

-- What stands in the braces -> function(whole, columns, number): the text.
local PLACES = {
  [""] = function(whole) return whole end,
  ["."] = function(whole) return (whole:gsub("%.[^./]*$", "")) end,
  ["/"] = function(whole) return (whole:match("[^/]*$")) end,
  ["//"] = function(whole) return whole:match("^(.*)/[^/]*$") or "." end,
  ["/."] = function(whole) return (whole:match("[^/]*$"):gsub("%.[^.]*$", "")) end,
  ["#"] = function(_, _, number) return tostring(number) end,
}

local PLACE = "{([./#%d]*)}"
local SHELL = "[|&;<>()$`\\\"'*?%[%]#~=%%!{}\n\t]"

local function value_of(place, columns, number)
  local known = PLACES[place]
  if known then
    return known(columns.whole or table.concat(columns, " "), columns, number)
  end
  local k = place:match("^%d+$")
  return k and (columns[tonumber(k)] or "")
end

local function fill(text, columns, number, quote)
  return (text:gsub(PLACE, function(place)
    local value = value_of(place, columns, number)
    return value and quote(value)
  end))
end

local function plain(value)
  return value
end

-- So that the shell reads it as one word, whatever is in it.
function template.quote(value)
  if value:find("^[%w_@%%+=:,./-]+$") then
    return value
  end
  return "'" .. value:gsub("'", "'\\''") .. "'"
end

local function has_place(text)
  for place in text:gmatch(PLACE) do
    if value_of(place, {}, 0) then
      return true
    end
  end
  return false
end

-- A template of the words of a command; arguments come last if it has no place for them. raw: they are not quoted.
function template.new(words, raw)
  local text = table.concat(words, " ")
  if not has_place(text) then
    text = text .. " {}"
  end
  local needs_shell = raw or text:gsub(PLACE, ""):find(SHELL) ~= nil
  return { text = text, needs_shell = needs_shell, quote = raw and plain or template.quote }
end

-- The command for an argument: as a text, and as a list of words to be run.
function template.apply(of, columns, number)
  local text = fill(of.text, columns, number, of.quote)
  if of.needs_shell then
    return text, { "/bin/sh", "-c", text }
  end
  local argv = {}
  for word in of.text:gmatch("[^ ]+") do
    argv[#argv + 1] = fill(word, columns, number, plain)
  end
  return text, argv
end

return template
