-- SPDX-License-Identifier: MIT
-- mproc run CMD [::: ARG...]: a command for each argument or line of standard input, several at once.

local arguments = require("mproc.cli.arguments")
local core = require("mproc.core")
local jobs = require("mproc.cli.jobs")
local joblog = require("mproc.cli.joblog")
local mproc = require("mproc")
local options = require("mproc.cli.options")
local template = require("mproc.cli.template")
local usage = require("mproc.cli.usage")

local run = {
  name = "run",
  synopsis = "run CMD [::: ARG...]",
  summary = "Run CMD for each ARG, or each line of standard input.",
  ends_at_operand = true,
  options = {
    { short = "j", long = "jobs", value = "N", check = options.jobs, text = "how many at once: N, 50%, or -1" },
    { short = "k", long = "keep-order", text = "put out in the order of the arguments, not as jobs end" },
    { short = "u", long = "ungrouped", text = "let jobs print as they come, mixed" },
    { short = "z", long = "null", text = "arguments on standard input end with NUL" },
    { long = "raw", text = "arguments are not quoted for the shell" },
    { long = "tag", text = "begin each line of output with its argument and a tab" },
    { long = "dry-run", text = "print the commands instead" },
    { long = "fail-fast", text = "after a failure start no more, and end those that run" },
    { long = "joblog", value = "FILE", text = "a line for each job, in GNU parallel's columns" },
    { long = "resume", text = "leave out what has ended with 0 according to --joblog" },
    { long = "retries", value = "N", check = options.count(0), text = "times that a failed job is tried again" },
    { long = "timeout", value = "S", check = options.seconds, text = "seconds a job may run; then it is ended" },
    { long = "progress", text = "tell on stderr how far it is" },
    options.HELP,
  },
  notes = [[
In CMD {} is the argument, {.} without its extension, {/} its file name, {//} its folder, {/.} its file name without
extension, {#} the job's number, {1} {2} ... its columns: the values of several ::: lists, or what tabs separate.
Without any of them the argument comes last.
  mproc run gzip -9 {} ::: *.log
  find . -name '*.png' | mproc run 'convert {} {.}.jpg'
  mproc run -k 'echo {1}-{2}' ::: a b ::: 1 2]],
}

-- How many run at once.
local function width_of(given)
  local n = given.jobs
  if type(n) == "string" then
    n = core.cpu_count() * tonumber(n:sub(1, -2)) // 100
  elseif n and n < 0 then
    n = core.cpu_count() + n
  end
  return math.max(1, math.tointeger(n or mproc.cpu_count()))
end

local function check(given, words)
  if #words == 0 then
    usage.fail("CMD is missing: what to run for each argument")
  elseif given.resume and not given.joblog then
    usage.fail("--resume needs --joblog FILE: the log of the run that is resumed")
  elseif given.keep_order and given.ungrouped then
    usage.fail("--keep-order and --ungrouped exclude each other")
  end
end

local function print_commands(command, columns)
  local number = 0
  for each in columns do
    number = number + 1
    io.write((template.apply(command, each, number)), "\n")
  end
  return 0
end

-- Exit status 0: all jobs ended with 0; 1: some did not.
function run.run(given, operands)
  local words, columns = arguments.read(operands, given.null and "\0" or "\n")
  check(given, words)
  local command = template.new(words, given.raw)
  if given.dry_run then
    return print_commands(command, columns)
  end
  local log = given.joblog and joblog.open(given.joblog, given.resume)
  core.end_with_reader()
  return jobs.run({
    command = command, columns = columns, width = width_of(given), log = log, keep_order = given.keep_order,
    ungrouped = given.ungrouped, tag = given.tag, fail_fast = given.fail_fast, retries = given.retries or 0,
    timeout = given.timeout, progress = given.progress,
  })
end

return run
