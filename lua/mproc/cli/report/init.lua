-- SPDX-License-Identifier: MIT
-- mproc report FILE: draws the timeline that mproc trace has written, and sums it up.

local core = require("mproc.core")
local drawing = require("mproc.cli.report.drawing")
local options = require("mproc.cli.options")
local stream = require("mproc.cli.stream")
local timeline = require("mproc.cli.report.timeline")
local usage = require("mproc.cli.usage")

local report = {
  name = "report",
  synopsis = "report FILE",
  summary = "Draw the timeline in FILE, which mproc trace has written, as SVG on standard output.",
  options = {
    { long = "text", text = "print the summary alone, in words" },
    options.HELP,
  },
  notes = [[
A row for each process, with its share of time working; coloured boxes are messages of items, grey lines are waits.
Below: how well the workers were used, what was serial, the imbalance at the end, and the five longest waits.
  mproc report out.json >out.svg
  mproc report --text out.json]],
}

-- Exit status 0; 1 when there is nothing to draw.
function report.run(given, operands)
  if #operands ~= 1 then
    usage.fail("FILE is missing: what mproc trace has written")
  end
  local file <close>, message = io.open(operands[1], "rb")
  if not file then
    usage.fail("cannot read %s", message)
  end
  core.end_with_reader()
  local ok, all = pcall(timeline.read, file:lines("L"))
  if not ok then
    usage.fail("cannot read %s: %s", operands[1], all)
  elseif not all then
    usage.stop("%s has no events; was it written by mproc trace?", operands[1])
  end
  timeline.sum_up(all)
  stream.write(given.text and table.concat(drawing.words(all), "\n") .. "\n" or drawing.svg(all))
  return 0
end

return report
