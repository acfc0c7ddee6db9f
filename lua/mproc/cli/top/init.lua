-- SPDX-License-Identifier: MIT
-- mproc top [PID]: what the processes of a tree do, what they wait for, and who waits for whom.

local core = require("mproc.core")
local far = require("mproc.cli.far")
local json = require("mproc.cli.json")
local look = require("mproc.cli.top.look")
local options = require("mproc.cli.options")
local page = require("mproc.cli.top.page")
local queue = require("mproc.cli.top.queue")
local screen = require("mproc.cli.top.screen")
local tree = require("mproc.cli.top.tree")
local usage = require("mproc.cli.usage")
local words = require("mproc.cli.top.words")


local function check_order(text)
  for _, order in ipairs(page.ORDERS) do
    if order == text then
      return text
    end
  end
  return nil, "pid, cpu, time or done"
end

local top = {
  name = "top",
  synopsis = "top [PID|URL]",
  summary = "Show what the processes of a tree do, or the workers of a queue of several machines.",
  options = {
    { long = "once", text = "print one page and end" },
    { long = "json", text = "print one look as data: a list with an object for each tree" },
    { short = "d", long = "delay", value = "S", check = options.seconds, text = "seconds between looks: 1" },
    { long = "sort", value = "KEY", check = check_order, text = "order of the processes: pid, cpu, time or done" },
    options.HELP,
  },
  notes = [[
PID is any process of the tree; without it, all trees of this user are shown. URL: see mproc worker. Keys: q ends, k
sorts by the next key. It only reads: it takes no lock, sends nothing, and its end or stop delays nobody.
  mproc top
  mproc top --once 4711 >report.txt
  mproc top 'redis://10.0.0.5/0?queue=render']],
}

-- --- trees ---

local function open(found)
  local view, message, name = core.view(found.pid, found.fd)
  if view then
    return { view = view, pid = found.pid }
  elseif name == "EPROTO" then
    usage.fail("cannot look at process %d: %s", found.pid, message)
  end
  return nil
end

-- Those that are there now; one that cannot be opened any more has ended.
local function open_trees(pid)
  local found, message = tree.find(pid)
  if not found then
    usage.fail("%s", message)
  end
  local opened = {}
  for _, each in ipairs(found) do
    opened[#opened + 1] = open(each)
  end
  return opened
end

local function refuse_nothing(pid)
  if not tree.status(core.getpid()) then
    usage.stop("there is no /proc here, which is where the processes are looked for")
  elseif not pid then
    usage.stop("no process that uses mproc is running, or none that you may look at")
  elseif tree.status(pid) then
    usage.stop("process %d does not use mproc, or you may not look at it", pid)
  end
  usage.stop("there is no process %d", pid)
end

-- One look more at each; trees of which nobody is left are dropped.
local function look_at(trees)
  local left = {}
  for _, each in ipairs(trees) do
    each.before, each.look = each.look, look.take(each.view, each.look)
    if each.look then
      left[#left + 1] = each
    else
      each.view:close()
    end
  end
  return left
end

-- --- output ---

local PROCESS_FIELDS = { "pid", "name", "state", "seconds", "cpu", "done", "failed" }
local QUEUE_FIELDS = {
  "object", "length", "put", "got", "put_rate", "got_rate", "most", "closed", "readers", "asleep", "of",
}
local POOL_FIELDS = { "owner", "number", "busy", "out", "done", "failed", "rate" }

local function pick(from, fields)
  local to = {}
  for _, name in ipairs(fields) do
    to[name] = from[name]
  end
  return to
end

local function each_of(list, f)
  local to = json.list({})
  for i, v in ipairs(list) do
    to[i] = f(v)
  end
  return to
end

local function data_of(one)
  return {
    pid = one.pid, command = one.command, up = one.up, memory = one.memory, size = one.size,
    processes = each_of(one.processes, function(p)
      local to = pick(p, PROCESS_FIELDS)
      to.text = words.of_process(one, p, look.KINDS)
      to.waits = p.waits and pick(p.waits, { "kind", "object", "part", "pid" })
      return to
    end),
    queues = each_of(one.queues, function(q) return pick(q, QUEUE_FIELDS) end),
    pools = each_of(one.pools, function(p)
      local to = pick(p, POOL_FIELDS)
      to.workers = json.list(p.workers)
      return to
    end),
    locks = each_of(one.locks, function(l)
      return {
        object = l.object, kind = l.kind, holder = l.holder, waiters = json.list(l.waiters),
        readers = l.readers and json.list(l.readers),
      }
    end),
    deadlocks = each_of(one.deadlocks, function(circle)
      return each_of(words.of_circle(one, circle, look.KINDS), function(line) return line end)
    end),
  }
end

local function write_json(trees)
  io.write(json.encode(each_of(trees, function(each) return data_of(each.look) end)), "\n")
end

local function lines_of(trees, order)
  local lines = {}
  for i, each in ipairs(trees) do
    if i > 1 then
      lines[#lines + 1] = ""
    end
    table.move(page.lines(each.look, order), 1, 1 << 20, #lines + 1, lines)
  end
  return lines
end

-- What screen.live shows.
local function source_of(trees)
  return {
    lines = function(order) return lines_of(trees, order) end,
    again = function()
      trees = look_at(trees)
      return #trees > 0
    end,
    orders = page.ORDERS,
  }
end

-- Exit status 0; 1 when there is no tree to look at; 2 for one of another version.
function top.run(given, operands)
  if far.is_address(operands[1]) and not operands[2] then
    core.end_with_reader()
    return queue.run(given, far.open(operands[1]))
  end
  local pid = operands[1] and math.tointeger(tonumber(operands[1]))
  if operands[2] or operands[1] and (not pid or pid < 1 or pid > 0x7fffffff) then
    usage.fail("PID must be the number of one process, got '%s'", operands[2] or operands[1])
  end
  core.end_with_reader()
  local trees = look_at(open_trees(pid))
  if #trees == 0 then
    refuse_nothing(pid)
  end
  core.sleep(screen.GAP_SECONDS)
  trees = look_at(trees)
  if given.json then
    write_json(trees)
  elseif given.once then
    screen.write(lines_of(trees, given.sort or "pid"))
  else
    return screen.live(source_of(trees), given)
  end
  return 0
end

return top
