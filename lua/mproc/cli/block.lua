-- SPDX-License-Identifier: MIT
-- What a worker does with a block of lines. Runs in the workers of mproc.cli.stream, which are all set up alike.

local core = require("mproc.core")
local input = require("mproc.cli.input")

local block = {}

local MINOR, MAJOR = 50, 400 -- per cent: a block leaves some megabytes of garbage, and little else

local plan, make, combine -- how blocks are treated; the maker of the function of a line; of reduce

-- settings: code (of the maker), from_file (the code gives the function itself), mode (of core.lines, "block" or
-- "reduce"), ending, keep_going, fields (their separator, "" for blanks), combine (code), modules, begin (code).
function block.prepare(settings)
  plan = settings
  collectgarbage("generational", MINOR, MAJOR)
  for _, name in ipairs(settings.modules or {}) do
    _G[name:match("[^.]*$")] = require(name)
  end
  if settings.begin then
    assert(load(settings.begin, "=--begin"))()
  end
  if settings.from_file then
    local f = assert(load(settings.code, settings.from_file))()
    make = function() return f end
  else
    make = assert(load(settings.code, "=expression"))
  end
  combine = settings.combine and assert(load(settings.combine, "=--with"))()
end

local function split_blanks(line)
  local fields, n = {}, 0
  for field in line:gmatch("%S+") do
    n = n + 1
    fields[n] = field
  end
  return fields
end

local function split_at(line, separator)
  local fields, n, from = {}, 0, 1
  while true do
    local first, last = line:find(separator, from, true)
    n = n + 1
    if not first then
      fields[n] = line:sub(from)
      return fields
    end
    fields[n] = line:sub(from, first - 1)
    from = last + 1
  end
end

local function with_fields(f, separator)
  if separator == "" then
    return function(line) return f(line, split_blanks(line)) end
  end
  return function(line) return f(line, split_at(line, separator)) end
end

-- What the expression gives for a whole block, ends included.
local function run_whole(f, given)
  local ok, result = pcall(f, given.text)
  if not ok then
    return { "", 0, 1, result, given.first, given.file }
  end
  return { result == nil and "" or tostring(result), 1, 0 }
end

-- The block's lines combined, nil for none.
local function run_reduce(f, given)
  local acc, any = nil, false
  local _, counted, failed, err, at = core.lines(function(line)
    local value = f(line)
    if value == nil then
      return
    end
    if any then
      acc = combine(acc, value)
    else
      acc, any = value, true
    end
  end, given.text, "each", plan.ending, plan.keep_going)
  return { any and { acc } or false, counted, failed, err, at and given.first + at, given.file }
end

-- { output, lines counted, failures, the first failure's error, its offset, its file }
function block.run(item)
  local given = item.text and item or input.read_range(item, plan.ending)
  local f = make(given.file)
  if plan.mode == "block" then
    return run_whole(f, given)
  elseif plan.fields then
    f = with_fields(f, plan.fields)
  end
  if plan.mode == "reduce" then
    return run_reduce(f, given)
  end
  local out, counted, failed, err, at = core.lines(f, given.text, plan.mode, plan.ending, plan.keep_going)
  return { out, counted, failed, err ~= nil and tostring(err) or nil, at and given.first + at, given.file }
end

return block
