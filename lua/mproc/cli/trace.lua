-- SPDX-License-Identifier: MIT
-- mproc trace FILE PROGRAM...: runs a program that uses mproc, and writes a timeline of its processes.

local core = require("mproc.core")
local usage = require("mproc.cli.usage")
local options = require("mproc.cli.options")

local VARIABLE = "MPROC_TRACE"

local trace = {
  name = "trace",
  synopsis = "trace FILE PROGRAM...",
  summary = "Run PROGRAM and write a timeline of its processes to FILE, as Chrome's trace events.",
  ends_at_operand = true,
  options = { options.HELP },
  notes = [[
FILE opens in ui.perfetto.dev and chrome://tracing; mproc report draws it. It can be read while PROGRAM runs, and after
it was killed. MPROC_TRACE=FILE in the environment does the same.
  mproc trace out.json lua5.4 prog.lua
  mproc report out.json >out.svg]],
}

-- Does not return: the program takes this process's place, so that its exit status, its signals and its terminal are
-- its own.
function trace.run(_, operands)
  local path = operands[1]
  local argv = table.move(operands, 2, #operands, 1, {})
  if not path or #argv == 0 then
    usage.fail(path and "PROGRAM is missing: what to run, such as lua5.4 prog.lua" or "FILE is missing")
  end
  local file, message = io.open(path, "wb")
  if not file then
    usage.fail("cannot write %s", message)
  end
  file:write("[\n")
  file:close()
  usage.fail("cannot run %s", select(2, core.become(argv, VARIABLE, "+" .. path)))
end

return trace
