-- SPDX-License-Identifier: MIT
-- What map, filter and reduce have in common: their options, the pool, and how blocks come back. Used by these verbs.

local block = require("mproc.cli.block")
local core = require("mproc.core")
local expression = require("mproc.cli.expression")
local input = require("mproc.cli.input")
local mproc = require("mproc")
local options = require("mproc.cli.options")
local usage = require("mproc.cli.usage")

local stream = {}

local BLOCK = 1 << 20
local KEPT = 16 << 20 -- bytes that a process does not give back between blocks
local LOOK_SECONDS = 0.25 -- how often it looks whether somebody still reads

stream.OPTIONS = {
  { short = "j", long = "jobs", value = "N", check = options.jobs, text = "workers: N, 50%, or -1: all CPUs but one" },
  { short = "F", long = "field-separator", value = "SEP", text = "f is the list of fields between SEP, a plain text" },
  { short = "f", long = "file", value = "SCRIPT", text = "instead of EXPR: the function that SCRIPT returns" },
  { short = "l", long = "load", value = "NAME", many = true, text = "require NAME in each worker, as lua -l does" },
  { long = "begin", value = "CODE", text = "Lua that runs first in each worker" },
  { short = "z", long = "null", text = "lines end with NUL, not with a newline" },
  { short = "u", long = "unordered", text = "put out blocks as they end" },
  { long = "block", value = "SIZE", check = options.bytes, text = "bytes of a block: 1M" },
  { long = "keep-going", text = "count the lines that fail instead of stopping" },
  { long = "timeout", value = "S", check = options.seconds, text = "seconds that a block may take" },
  { long = "retries", value = "N", check = options.count(0), text = "attempts more for a block whose worker died" },
  { long = "progress", text = "tell on stderr how far it is" },
}

-- The shared options and a verb's own, in that order.
function stream.options(own)
  local all = table.move(stream.OPTIONS, 1, #stream.OPTIONS, 1, {})
  table.move(own, 1, #own, #all + 1, all)
  all[#all + 1] = options.HELP
  return all
end

local function read_script(path)
  local file, message = io.open(path, "rb")
  if not file then
    usage.fail("cannot read %s", message)
  end
  local text = file:read("a")
  file:close()
  local chunk, why = load(text, "@" .. path)
  if not chunk then
    usage.fail("%s", why)
  end
  return text
end

-- What the workers are set up with. operands: the expression, unless -f gives the function, is taken off.
local function read_settings(given, operands, mode)
  local settings = {
    mode = mode, ending = given.null and "\0" or "\n", keep_going = given.keep_going, modules = given.load,
    fields = given.field_separator, begin = given.begin and expression.check_chunk(given.begin, "--begin"),
  }
  if given.file then
    settings.code, settings.from_file = read_script(given.file), "@" .. given.file
    return settings
  end
  local text = table.remove(operands, 1)
  if not text then
    usage.fail("EXPR is missing: what to do with each line, such as 'line:upper()'")
  end
  if not settings.fields and mode ~= "block" and expression.names_fields(text) then
    settings.fields = ""
  end
  settings.code = expression.check(text, mode == "block" and "block" or settings.fields and "fields" or "line")
  return settings
end

local function open_pool(given, settings)
  local pool, message = mproc.Pool{
    processes = given.jobs, initializer = block.prepare, initargs = { settings }, task_timeout = given.timeout,
    on_crash = given.retries and "retry" or nil, retries = given.retries,
  }
  if not pool then
    usage.stop("%s", message)
  end
  return pool
end

-- A line that failed, in words.
local function tell_failure(result)
  local _, _, failed, err, at, file = table.unpack(result, 1, 6)
  if failed > 0 then
    usage.stop("%s, the line at byte %d: %s", file, at, err)
  end
end

-- Ends the program as the next write would.
local function watch_reader()
  local next_look = core.time() + LOOK_SECONDS
  return function()
    if core.time() >= next_look then
      next_look = core.time() + LOOK_SECONDS
      if core.reader_gone() then
        os.exit(true)
      end
    end
  end
end

local function message_of(err)
  return (tostring(err):gsub("\nremote traceback.*", ""))
end

-- The results of one block after another. take(output, result) is called for each. Returns the lines counted and those
-- that failed.
local function consume(next_result, given, take)
  local counted, failures, first, look = 0, 0, nil, watch_reader()
  while true do
    local ok, index, result = pcall(next_result)
    if not ok then
      usage.stop("%s", message_of(index))
    elseif not index then
      return counted, failures, first
    end
    counted, failures = counted + result[2], failures + result[3]
    take(result[1], result)
    if result[3] > 0 then
      first = first or result
      if not given.keep_going then
        tell_failure(result)
      end
    end
    look()
  end
end

-- Runs the verb over all of its input. Returns the lines counted and whether some failed.
function stream.run(given, operands, mode, more, take)
  local settings = read_settings(given, operands, mode)
  for name, value in pairs(more or {}) do
    settings[name] = value
  end
  input.check(operands)
  core.end_with_reader()
  core.keep_memory(KEPT)
  local pool <close> = open_pool(given, settings)
  local verb = given.unordered and pool.imap_unordered or pool.imap
  local items = input.items(operands, given.block or BLOCK, settings.ending)
  local next_result, _, _, ending = verb(pool, block.run, items, { chunksize = 1, progress = given.progress })
  local _ <close> = ending
  local counted, failures, first = consume(next_result, given, take)
  if failures > 0 then
    core.write_stderr(("mproc: %d lines failed; the first: %s, the line at byte %d: %s\n"):format(failures, first[6],
      first[5], first[4]))
  end
  return counted, failures > 0
end

-- Writes what a block gave.
function stream.write(text)
  if text ~= "" then
    local ok, message = core.write_out(text)
    if not ok then
      usage.stop("standard output: %s", message)
    end
  end
end

return stream
