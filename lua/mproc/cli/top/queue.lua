-- SPDX-License-Identifier: MIT
-- mproc top URL: what waits in a queue of several machines, who works, and for whom. Used by mproc.cli.top; looks
-- through the engine of the address.

local core = require("mproc.core")
local json = require("mproc.cli.json")
local page = require("mproc.cli.top.page")
local screen = require("mproc.cli.top.screen")
local usage = require("mproc.cli.usage")

local queue = {}

local of_seconds, of_rate, of_count, of_share = page.of_seconds, page.of_rate, page.of_count, page.of_share

local ORDERS = {
  name = function(a, b) return a.name < b.name end,
  done = function(a, b) return (a.done or 0) > (b.done or 0) end,
  rate = function(a, b) return (a.rate or 0) > (b.rate or 0) end,
}
local ORDER_NAMES = { "name", "rate", "done" }

-- --- the page ---

local function lease_text(worker)
  if worker.state == "left" then
    return "left"
  end
  return worker.lease >= 0 and of_seconds(worker.lease) or "over"
end

local function workers(one, order)
  local list, rows, before = table.move(one.workers, 1, #one.workers, 1, {}), {}, ORDERS[order] or ORDERS.name
  table.sort(list, function(a, b)
    if before(a, b) ~= before(b, a) then
      return before(a, b)
    end
    return a.name < b.name
  end)
  for i, w in ipairs(list) do
    rows[i] = {
      w.name, of_count(w.processes), of_count(w.prefetch), of_count(w.hand), w.share and of_share(w.share) or "",
      w.rate and of_rate(w.rate) or "", of_count(w.done), of_count(w.failed),
      w.trip and ("%.1fms"):format(w.trip * 1000) or "", lease_text(w),
    }
  end
  return page.table({ "WORKER", "PROCESSES", "PREFETCH", "IN HAND", "BUSY", "DONE/s", "DONE", "FAILED", "ROUND TRIP",
    "LEASE" }, rows, "<>>>>>>>>>")
end

local function pools(one)
  local rows = {}
  for i, p in ipairs(one.pools) do
    rows[i] = { p.name, p.lives and "lives" or "gone", of_count(p.chunks), of_count(p.items), of_count(p.unread) }
  end
  return #rows > 0 and page.table({ "POOL", "OWNER", "CHUNKS OUT", "ITEMS OUT", "RESULTS THERE" }, rows, "<<>>>") or {}
end

local function title(one)
  local lag = one.lag and one.lag ~= one.waiting and ("  lag %s"):format(of_count(one.lag)) or ""
  return ("queue %s  %s   %s chunks: %s wait%s, %s in hand%s"):format(one.queue, one.url, of_count(one.length),
    of_count(one.waiting), one.oldest and (" (the oldest for %s)"):format(of_seconds(one.oldest)) or "",
    of_count(one.hand), lag)
end

local function lines_of(one, order)
  local lines = { title(one) }
  local nobody = one.workers_hidden and "this user may not see the workers; an owner's address shows them"
    or "no worker has joined"
  local all = { #one.workers > 0 and workers(one, order) or { nobody }, pools(one) }
  for _, part in ipairs(all) do
    table.move(part, 1, #part, #lines + 1, lines)
    lines[#lines + 1] = #part > 0 and "" or nil
  end
  lines[#lines] = lines[#lines] ~= "" and lines[#lines] or nil
  return lines
end

-- --- looks ---

local function take(view, before)
  local one, message = view:take(before)
  if not one then
    usage.stop("%s", message)
  end
  return one
end

local function write_json(one)
  one.workers, one.pools = json.list(one.workers), json.list(one.pools)
  io.write(json.encode(one), "\n")
end

-- Exit status 0; 1 when the server cannot be looked at.
function queue.run(given, engine, target)
  local view = engine.look(target)
  local one = take(view, take(view))
  if given.once or given.json then
    core.sleep(screen.GAP_SECONDS)
    one = take(view, one)
    if given.json then
      write_json(one)
    else
      screen.write(lines_of(one, given.sort))
    end
    return 0
  end
  return screen.live({
    lines = function(order) return lines_of(one, order) end,
    again = function()
      one = take(view, one)
      return true
    end,
    orders = ORDER_NAMES,
  }, given)
end

return queue
