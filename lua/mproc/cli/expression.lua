-- SPDX-License-Identifier: MIT
-- Expressions of the command line: compiled before anything starts, so that a mistake is told with its place, and
-- again in each worker. Used by mproc.cli.stream and mproc.cli.block.
--
-- A maker is a chunk that takes a file's name and gives the function of a line (or block), so that an expression can
-- use `file`. In it `line` is the line without its end, `f` the list of its fields, `text` a whole block.

local usage = require("mproc.cli.usage")

local expression = {}

local PARAMETERS = { line = "line", fields = "line, f", block = "text" }

local function wrap(text, kind)
  return ("local file = ...; return function(%s) return %s\nend"):format(PARAMETERS[kind], text)
end

-- How many of the text's first characters make a mistake that nothing behind them could mend: its place.
local function place_of_mistake(text, head)
  for n = 1, #text do
    local _, message = load(head .. text:sub(1, n), "=")
    if message and not message:find("near <eof>", 1, true) then
      return n
    end
  end
  return #text + 1
end

local function what_is_wrong(message)
  return message:match("^[^:]*:%d+: (.*)$") or message
end

local function refuse(text, kind, message)
  local head = wrap("\0", kind):match("^(.-)\0")
  local place = place_of_mistake(text, head)
  if place > #text then
    message = "something is missing behind it"
  end
  local before = text:sub(1, place - 1)
  local line = text:gsub("[\n\t]", " ")
  usage.fail("the expression does not compile, at column %d: %s\n  %s\n  %s^", place,
    (what_is_wrong(message):gsub("'end' expected near", "unexpected")), line, (" "):rep(utf8.len(before) or #before))
end

-- The maker's code. kind: "line", "fields" or "block". A mistake of the user's ends the program.
function expression.check(text, kind)
  local code = wrap(text, kind)
  local maker, message = load(code, "=expression")
  if not maker then
    refuse(text, kind, message)
  end
  return code
end

-- Of --with: the function of two values that combines them, as code.
function expression.check_combine(text)
  local code = ("return function(a, b) return %s\nend"):format(text)
  local made, message = load(code, "=expression")
  if not made then
    usage.fail("--with does not compile: %s\n  %s", what_is_wrong(message), text)
  end
  return code
end

-- A piece of Lua that runs by itself, as code: it may be an expression.
function expression.check_chunk(text, option)
  local made, message = load(text, "=" .. option)
  if not made then
    usage.fail("%s does not compile: %s\n  %s", option, what_is_wrong(message), text)
  end
  return text
end

-- Whether the text names the list of fields.
function expression.names_fields(text)
  return text:find("%f[%w_]f%f[^%w_]") ~= nil
end

return expression
