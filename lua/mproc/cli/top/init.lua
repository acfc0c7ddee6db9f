-- SPDX-License-Identifier: MIT
-- mproc top [PID]: what the processes of a tree do, what they wait for, and who waits for whom.

local core = require("mproc.core")
local json = require("mproc.cli.json")
local look = require("mproc.cli.top.look")
local mproc = require("mproc")
local options = require("mproc.cli.options")
local page = require("mproc.cli.top.page")
local tree = require("mproc.cli.top.tree")
local usage = require("mproc.cli.usage")
local words = require("mproc.cli.top.words")

local GAP_SECONDS = 0.2 -- between the two looks of --once
local DELAY_SECONDS = 1
local HOME, CLEAR_LINE, CLEAR_BELOW = "\27[H", "\27[K", "\27[J"
local OTHER_SCREEN, OWN_SCREEN = "\27[?1049h\27[?25l", "\27[?25h\27[?1049l"

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
  synopsis = "top [PID]",
  summary = "Show what the processes of a tree do, what they wait for, and who waits for whom.",
  options = {
    { long = "once", text = "print one page and end" },
    { long = "json", text = "print one look as data: a list with an object for each tree" },
    { short = "d", long = "delay", value = "S", check = options.seconds, text = "seconds between looks: 1" },
    { long = "sort", value = "KEY", check = check_order, text = "order of the processes: pid, cpu, time or done" },
    options.HELP,
  },
  notes = [[
PID is any process of the tree; without it, all trees of this user are shown. Keys: q ends, k sorts by the next key.
It only reads: it takes no lock, sends nothing, and its end or stop delays nobody.
  mproc top
  mproc top --once 4711 >report.txt]],
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
  if not pid then
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

local function write_page(trees, order)
  io.write(table.concat(lines_of(trees, order), "\n"), "\n")
  io.flush()
end

-- On a terminal: over what stood there.
local function draw(trees, order, columns, height)
  local lines = page.cut(lines_of(trees, order), columns, height - 1)
  core.write_out(HOME .. table.concat(lines, CLEAR_LINE .. "\n") .. CLEAR_LINE .. "\n" .. CLEAR_BELOW)
end

-- --- live ---

local Screen = {}

function Screen.open(columns)
  local keys = columns ~= nil and core.terminal_keys(true)
  if columns then
    core.write_out(OTHER_SCREEN)
  end
  return setmetatable({ keys = keys, drawn = columns ~= nil }, Screen)
end

function Screen:__close()
  if self.drawn then
    core.write_out(OWN_SCREEN)
  end
  core.terminal_keys(false)
end

-- The key that was pressed in that time, or nil.
local function wait_for_key(screen, seconds)
  if not screen.keys then
    core.sleep(seconds)
  elseif #mproc.wait({ 0 }, seconds) > 0 then
    return io.read(1) or "q"
  end
end

local function next_order(order)
  for i, each in ipairs(page.ORDERS) do
    if each == order then
      return page.ORDERS[i % #page.ORDERS + 1]
    end
  end
end

local function live(trees, given)
  local order = given.sort or "pid"
  local screen <close> = Screen.open(page.size())
  io.stdin:setvbuf("no")
  while #trees > 0 do
    local columns, height = page.size()
    if columns then
      draw(trees, order, columns, height)
    else
      write_page(trees, order)
    end
    local key = wait_for_key(screen, given.delay or DELAY_SECONDS)
    if key == "q" then
      return 0
    elseif key == "k" then
      order = next_order(order)
    end
    trees = look_at(trees)
  end
  return 0
end

-- Exit status 0; 1 when there is no tree to look at; 2 for one of another version.
function top.run(given, operands)
  local pid = operands[1] and math.tointeger(tonumber(operands[1]))
  if operands[2] or operands[1] and (not pid or pid < 1 or pid > 0x7fffffff) then
    usage.fail("PID must be the number of one process, got '%s'", operands[2] or operands[1])
  end
  core.end_with_reader()
  local trees = look_at(open_trees(pid))
  if #trees == 0 then
    refuse_nothing(pid)
  end
  core.sleep(GAP_SECONDS)
  trees = look_at(trees)
  if given.json then
    write_json(trees)
  elseif given.once then
    write_page(trees, given.sort or "pid")
  else
    return live(trees, given)
  end
  return 0
end

return top
