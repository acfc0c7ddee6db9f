-- SPDX-License-Identifier: MIT
-- mproc worker URL: processes on this machine for pools whose owners are anywhere. The work is the engine's, a rock
-- of its own.

local core = require("mproc.core")
local expression = require("mproc.cli.expression")
local far = require("mproc.cli.far")
local options = require("mproc.cli.options")
local usage = require("mproc.cli.usage")

local function check_version(text)
  if text:find("^[%w._-]+$") then
    return text
  end
  return nil, "letters, digits, dots, - and _"
end

local worker = {
  name = "worker",
  synopsis = "worker URL --allow MODULE.*",
  summary = "Run tasks of pools of other machines, from the queue at URL.",
  options = {
    { short = "j", long = "jobs", value = "N", check = options.jobs, text = "how many processes: N, 50%, or -1" },
    { long = "allow", value = "NAME", many = true, text = "what may run: render.frame, render.*; needed" },
    { long = "begin", value = "CODE", text = "Lua that runs first in each process" },
    { long = "version", value = "V", check = check_version, text = "of the code: serves the pools of that version" },
    { long = "grace", value = "S", check = options.seconds, text = "seconds for what runs, at SIGTERM: 30" },
    { long = "lease", value = "S", check = options.seconds, text = "seconds after which others take over: 6" },
    { long = "prefetch", value = "N", check = options.count(1), text = "chunks for each process: as needed" },
    { long = "check", text = "tell of server, policy, rights and round trip" },
    options.HELP,
  },
  notes = [[
URL: redis://[user:password@]host[:port][/db][?queue=name], rediss:// for TLS, redis+sentinel://h1,h2/name/db,
redis+unix:///path. Without it, MPROC_URL. In --allow, * stands for one name. SIGTERM, or Ctrl-C: it takes no more, ends
what runs, and leaves; Ctrl-C twice: at once.
  mproc worker 'redis://10.0.0.5/0?queue=render' -j 100% --allow 'render.*'
  mproc worker --check redis://10.0.0.5]],
}

local function check(given, operands)
  if operands[2] then
    usage.fail("one URL is wanted; quote it, for it may have a ? and an &")
  elseif not given.allow and not given.check then
    usage.fail("--allow is missing: which functions may run, as in --allow 'render.*'")
  end
end

local function patterns_of(engine, given)
  local patterns = {}
  for i, text in ipairs(given.allow or {}) do
    local pattern, wanted = engine.pattern(text)
    if not pattern then
      usage.fail("--allow must be %s, got '%s'", wanted, text)
    end
    patterns[i] = pattern
  end
  return patterns
end

-- Exit status 0 when it has left in order, or the check went well; 1 when the server does not let it.
function worker.run(given, operands)
  check(given, operands)
  local engine, target = far.open(operands[1], given.version)
  local allow = patterns_of(engine, given)
  local begin = given.begin and expression.check_chunk(given.begin, "--begin")
  if given.check then
    core.end_with_reader()
    return engine.check(target)
  end
  local status, refused = engine.work(target, {
    allow = allow, processes = given.jobs, begin = begin, lease = given.lease, grace = given.grace,
    prefetch = given.prefetch,
  })
  if refused then
    usage.stop("%s: %s", target.shown, refused)
  end
  return status
end

return worker
