-- SPDX-License-Identifier: MIT
-- mproc reduce EXPR [FILE...]: combines EXPR of all lines to one value.

local expression = require("mproc.cli.expression")
local stream = require("mproc.cli.stream")
local usage = require("mproc.cli.usage")

local reduce = {
  name = "reduce",
  synopsis = "reduce EXPR [FILE...]",
  summary = "Combine EXPR of all lines to one value and print it.",
  options = stream.options({
    { long = "with", value = "EXPR", text = "how two values a and b are combined: 'a + b'" },
    { long = "init", value = "EXPR", text = "the value to begin with: 0; none when --with is given" },
  }),
  notes = [[
EXPR is Lua: `line` is the line without its end, `file` its file's name, `f` the list of its fields. A nil is left out.
Blocks are combined first, then their results in order: --with must not care how that is bracketed.
  mproc reduce '#line' big.txt
  mproc reduce 'tonumber(f[3])' --with 'math.max(a, b)' data.txt]],
}

local DEFAULT = "a + b"

local function initial_of(given)
  local text = given.init or not given.with and "0"
  if not text then
    return nil
  end
  local ok, value = pcall(assert(load(expression.check_chunk("return " .. text, "--init"), "=--init")))
  if not ok then
    usage.fail("--init: %s", value)
  end
  return value
end

function reduce.run(given, operands)
  local code = expression.check_combine(given.with or DEFAULT)
  local combine = load(code, "=--with")()
  local acc = initial_of(given)
  local _, failed = stream.run(given, operands, "reduce", { combine = code }, function(part)
    if part then
      if acc == nil then
        acc = part[1]
      else
        acc = combine(acc, part[1])
      end
    end
  end)
  stream.write(tostring(acc) .. "\n")
  return failed and 1 or 0
end

return reduce
