-- SPDX-License-Identifier: MIT
-- mproc filter EXPR [FILE...]: prints the lines for which EXPR is true.

local stream = require("mproc.cli.stream")

local filter = {
  name = "filter",
  synopsis = "filter EXPR [FILE...]",
  summary = "Print the lines for which EXPR is true; exit status 1 when there is none, as grep.",
  options = stream.options({
    { short = "c", long = "count", text = "print how many there are instead" },
    { short = "v", long = "invert", text = "the lines for which EXPR is false or nil" },
  }),
  notes = [[
EXPR is Lua: `line` is the line without its end, `file` its file's name, `f` the list of its fields.
  mproc filter 'line:find("error", 1, true)' *.log
  mproc filter -c '#line > 80' src/*.c]],
}

local function nothing() end

local function write_count(n)
  stream.write(("%d\n"):format(n))
end

function filter.run(given, operands)
  local mode = given.invert and "reject" or given.count and "count" or "filter"
  local counted, failed = stream.run(given, operands, mode, nil, given.count and nothing or stream.write)
  if given.count then
    write_count(counted)
  end
  return (failed or counted == 0) and 1 or 0
end

return filter
