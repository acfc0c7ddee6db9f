-- SPDX-License-Identifier: MIT
-- The program mproc: finds the verb, reads its options, runs it, and turns what comes of it into an exit status. Used
-- by bin/mproc.
--
-- A verb is a module mproc.cli.VERB: name, synopsis, summary, options (a list as options.lua wants it), notes (lines
-- for its help), run(given, operands) -> exit status. It raises what usage.fail makes for what is the user's mistake.

local check = require("mproc.check")
local core = require("mproc.core")
local mproc = require("mproc")
local options = require("mproc.cli.options")
local usage = require("mproc.cli.usage")

local cli = {}

local MISUSE, INTERRUPTED = 2, 130

cli.VERBS = { "map", "filter", "reduce", "run", "worker", "top", "trace", "report" }

local function load_verb(name)
  for _, verb in ipairs(cli.VERBS) do
    if verb == name then
      return require("mproc.cli." .. name)
    end
  end
end

local function say(text)
  core.write_stderr("mproc: " .. text .. "\n")
end

local function refuse_verb(name)
  local near = check.nearest(name, cli.VERBS)
  say(("there is no %s%s\n%s"):format(name, near and ("; did you mean %s?"):format(near) or "",
    "Try mproc --help."))
  return MISUSE
end

-- What is no error of the user's is told with its traceback, as lua tells it.
local function describe(err)
  if usage.is_mistake(err) then
    return err
  end
  return debug.traceback(tostring(err), 2)
end

local function run(verb, arguments)
  local given, operands = options.read(verb, arguments)
  if given.help then
    io.write(usage.of_verb(verb))
    return 0
  end
  return verb.run(given, operands)
end

local function run_verb(verb, arguments)
  local could_interrupt = core.may_interrupt()
  local ok, status = xpcall(run, describe, verb, arguments)
  if ok then
    return status
  elseif could_interrupt and not core.catches_sigint() then
    return INTERRUPTED
  elseif usage.is_mistake(status) then
    say(verb.name .. ": " .. status.text)
    return status.status
  end
  say(status)
  return 1
end

-- The exit status for the arguments of the command line: 0 all well, 1 something failed, 2 misuse, 130 Ctrl-C.
function cli.main(arguments)
  local name = arguments[1]
  if name == nil or name == "--help" or name == "-h" or name == "help" and not arguments[2] then
    io.write(usage.of_program(cli.VERBS))
    return name and 0 or MISUSE
  elseif name == "--version" then
    io.write(mproc._VERSION, "\n")
    return 0
  elseif name == "help" then
    name, arguments = arguments[2], { [2] = "--help" }
  end
  local verb = load_verb(name)
  if not verb then
    return refuse_verb(name)
  end
  return run_verb(verb, table.move(arguments, 2, #arguments, 1, {}))
end

return cli
