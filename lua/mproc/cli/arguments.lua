-- SPDX-License-Identifier: MIT
-- The arguments that mproc run gives to commands: of ::: lists, of which each value is combined with each, or lines of
-- standard input. Used by mproc.cli.run.

local arguments = {}

local MARK = ":::"
local READ_ON = 65536

local function split(operands)
  local words, lists = {}, {}
  local into = words
  for _, word in ipairs(operands) do
    if word == MARK then
      into = {}
      lists[#lists + 1] = into
    else
      into[#into + 1] = word
    end
  end
  return words, lists
end

-- The last list changes quickest.
local function combine(lists, depth, columns)
  if depth > #lists then
    coroutine.yield(table.move(columns, 1, #columns, 1, {}))
    return
  end
  for _, value in ipairs(lists[depth]) do
    columns[depth] = value
    combine(lists, depth + 1, columns)
  end
end

local function columns_of(line)
  local columns = {}
  for column in (line .. "\t"):gmatch("([^\t]*)\t") do
    columns[#columns + 1] = column
  end
  columns.whole = line
  return columns
end

local function each_line(ending)
  local rest = ""
  for part in function() return io.read(READ_ON) end do
    local text, from = rest .. part, 1
    for line, after in text:gmatch("([^" .. ending .. "]*)" .. ending .. "()") do
      coroutine.yield(columns_of(line))
      from = after
    end
    rest = text:sub(from)
  end
  if rest ~= "" then
    coroutine.yield(columns_of(rest))
  end
end

local function each_newline()
  for line in io.lines() do
    coroutine.yield(columns_of(line))
  end
end

-- The words of the command, and an iterator of lists of columns.
function arguments.read(operands, ending)
  local words, lists = split(operands)
  return words, coroutine.wrap(function()
    if #lists > 0 then
      combine(lists, 1, {})
    elseif ending == "\n" then
      each_newline()
    else
      each_line(ending)
    end
  end)
end

return arguments
