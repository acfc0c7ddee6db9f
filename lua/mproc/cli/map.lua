-- SPDX-License-Identifier: MIT
-- mproc map EXPR [FILE...]: prints EXPR for each line.

local stream = require("mproc.cli.stream")

local map = {
  name = "map",
  synopsis = "map EXPR [FILE...]",
  summary = "Print EXPR for each line, in order; nothing for nil, tabs between several values.",
  options = stream.options({
    { short = "B", long = "blocks", text = "EXPR gets a block of whole lines as `text`, ends included: quicker" },
  }),
  notes = [[
EXPR is Lua: `line` is the line without its end, `file` its file's name, `f` the list of its fields.
  mproc map 'line:upper()' big.txt
  mproc map 'f[2], f[1]' access.log
  mproc map -B 'text:upper()' big.txt]],
}

function map.run(given, operands)
  local _, failed = stream.run(given, operands, given.blocks and "block" or "map", nil, stream.write)
  return failed and 1 or 0
end

return map
