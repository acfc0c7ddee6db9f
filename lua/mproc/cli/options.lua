-- SPDX-License-Identifier: MIT
-- Options of the command line. Used by mproc.cli.
--
-- An option: short (a letter), long, value (its name in help, nil for a flag), check (function(text): the value, or
-- nil and what it must be), text (for help), many (it may be given again: a list). Its value stands under `long`, with
-- "_" for "-".

local check = require("mproc.check")
local usage = require("mproc.cli.usage")

local options = {}

options.HELP = { long = "help", short = "h", text = "this text" }

local function long_names(verb)
  local names = {}
  for _, option in ipairs(verb.options) do
    names[#names + 1] = option.long
  end
  return names
end

local function find(verb, key, name)
  for _, option in ipairs(verb.options) do
    if option[key] == name then
      return option
    end
  end
end

local function refuse(verb, shown, name)
  local near = name and check.nearest(name, long_names(verb))
  usage.fail("there is no option %s%s\nTry mproc %s --help.", shown, near and ("; did you mean --%s?"):format(near)
    or "", verb.name)
end

local function set(given, option, shown, text)
  local value = true
  if option.value then
    value = text
    if option.check then
      local checked, wanted = option.check(text)
      if checked == nil then
        usage.fail("%s must be %s, got '%s'", shown, wanted, text)
      end
      value = checked
    end
  end
  local field = option.long:gsub("-", "_")
  if option.many then
    given[field] = given[field] or {}
    table.insert(given[field], value)
  else
    given[field] = value
  end
end

local function value_of(arguments, i, shown)
  if arguments[i + 1] == nil then
    usage.fail("%s needs a value", shown)
  end
  return arguments[i + 1], i + 1
end

local function read_long(verb, given, arguments, i)
  local name, text = arguments[i]:match("^%-%-([^=]*)=(.*)$")
  name = name or arguments[i]:sub(3)
  local option, shown = find(verb, "long", name), "--" .. name
  if not option then
    refuse(verb, shown, name)
  elseif not option.value and text then
    usage.fail("%s takes no value", shown)
  elseif option.value and not text then
    text, i = value_of(arguments, i, shown)
  end
  set(given, option, shown, text)
  return i
end

-- Several letters may stand together; the value of the last may follow at once.
local function read_short(verb, given, arguments, i)
  local letters = arguments[i]:sub(2)
  while letters ~= "" do
    local letter = letters:sub(1, 1)
    local option, shown = find(verb, "short", letter), "-" .. letter
    letters = letters:sub(2)
    if not option then
      refuse(verb, shown)
    elseif option.value then
      local text = letters
      if text == "" then
        text, i = value_of(arguments, i, shown)
      end
      set(given, option, shown, text)
      return i
    end
    set(given, option, shown)
  end
  return i
end

-- The options given, by their long names, and a list of the operands. verb.ends_at_operand: what follows the first
-- operand belongs to it.
function options.read(verb, arguments)
  local given, operands, i = {}, {}, 1
  while i <= #arguments do
    local argument = arguments[i]
    if argument == "--" then
      table.move(arguments, i + 1, #arguments, #operands + 1, operands)
      break
    elseif argument:sub(1, 2) == "--" then
      i = read_long(verb, given, arguments, i)
    elseif argument:sub(1, 1) == "-" and argument ~= "-" then
      i = read_short(verb, given, arguments, i)
    elseif verb.ends_at_operand then
      table.move(arguments, i, #arguments, 1, operands)
      break
    else
      operands[#operands + 1] = argument
    end
    i = i + 1
  end
  return given, operands
end

-- --- checks ---

function options.count(least)
  return function(text)
    local n = math.tointeger(tonumber(text))
    if n and n >= least then
      return n
    end
    return nil, ("a whole number from %d up"):format(least)
  end
end

function options.seconds(text)
  local n = tonumber(text)
  if n and n > 0 and n < math.huge then
    return n
  end
  return nil, "a number of seconds above 0"
end

local UNITS = { [""] = 1, k = 1 << 10, m = 1 << 20, g = 1 << 30 }

function options.bytes(text)
  local n, unit = text:match("^(%d+)([kKmMgG]?)$")
  n = n and tonumber(n) * UNITS[unit:lower()]
  if n and n >= 1 and n <= 1 << 40 then
    return math.tointeger(n)
  end
  return nil, "a size such as 65536, 64K or 1M"
end

-- N, 50% of the CPUs, or -1 for all CPUs but one: as mproc.Pool has it.
function options.jobs(text)
  local n = math.tointeger(tonumber(text))
  if n and (n == -1 or n > 0) and n <= 65536 then
    return n
  elseif text:match("^%d+%%$") and tonumber(text:sub(1, -2)) > 0 then
    return text
  end
  return nil, "a number of processes, a share of the CPUs such as 50%, or -1 for all CPUs but one"
end

return options
