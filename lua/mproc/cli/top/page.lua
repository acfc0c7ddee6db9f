-- SPDX-License-Identifier: MIT
-- A look as a page of text, of given width and height. Used by mproc.cli.top.

local core = require("mproc.core")
local look = require("mproc.cli.top.look")
local words = require("mproc.cli.top.words")

local page = {}

local ROWS_MOST = 20 -- of queues, of locks: the rest is counted

-- --- numbers ---

local function of_bytes(n)
  for _, unit in ipairs({ "B", "KiB", "MiB", "GiB" }) do
    if n < 1024 then
      return ("%d %s"):format(n // 1, unit)
    end
    n = n / 1024
  end
  return ("%d TiB"):format(n // 1)
end

local function of_seconds(s)
  if not s then
    return ""
  elseif s < 1 then
    return s < 0.1 and ("%dms"):format(s * 1000 // 1) or ("%.1fs"):format(s)
  elseif s < 60 then
    return s < 10 and ("%.1fs"):format(s) or ("%ds"):format(s // 1)
  elseif s < 3600 then
    return ("%d:%02d"):format(s // 60, s % 60 // 1)
  end
  return ("%d:%02d:%02d"):format(s // 3600, s % 3600 // 60, s % 60 // 1)
end

local function of_rate(n)
  if n < 1000 then
    return ("%d"):format((n + 0.5) // 1)
  elseif n < 1e6 then
    return ("%.1fk"):format(n / 1e3)
  end
  return ("%.1fM"):format(n / 1e6)
end

local function of_count(n)
  if not n then
    return ""
  end
  local text = ("%d"):format(n)
  repeat
    local changed
    text, changed = text:gsub("^(-?%d+)(%d%d%d)", "%1,%2")
  until changed == 0
  return text
end

local function of_share(x)
  return ("%d%%"):format((100 * x + 0.5) // 1)
end

-- --- tables ---

-- Rows of texts under a head; a column that begins with "<" in `sides` stands left.
local function lay_out(head, rows, sides)
  local widths, lines = {}, {}
  for _, row in ipairs({ head, table.unpack(rows) }) do
    for i, text in ipairs(row) do
      widths[i] = math.max(widths[i] or 0, utf8.len(text) or #text)
    end
  end
  for _, row in ipairs({ head, table.unpack(rows) }) do
    local cells = {}
    for i, text in ipairs(row) do
      local room = (" "):rep(widths[i] - (utf8.len(text) or #text))
      cells[i] = sides:sub(i, i) == "<" and text .. room or room .. text
    end
    lines[#lines + 1] = (table.concat(cells, "  "):gsub(" +$", ""))
  end
  return lines
end

local function first_of(list, most)
  return #list <= most and list or table.move(list, 1, most, 1, {})
end

page.table, page.of_seconds, page.of_rate = lay_out, of_seconds, of_rate
page.of_count, page.of_share = of_count, of_share

-- --- parts ---

local ORDERS = {
  pid = function(a, b) return a.pid < b.pid end,
  cpu = function(a, b) return a.cpu > b.cpu end,
  time = function(a, b) return (a.seconds or 0) > (b.seconds or 0) end,
  done = function(a, b) return (a.done or 0) > (b.done or 0) end,
}
page.ORDERS = { "pid", "cpu", "time", "done" }

local function processes(one, order)
  local list, rows = table.move(one.processes, 1, #one.processes, 1, {}), {}
  local before = ORDERS[order]
  table.sort(list, function(a, b)
    if before(a, b) ~= before(b, a) then
      return before(a, b)
    end
    return a.pid < b.pid
  end)
  for i, p in ipairs(list) do
    rows[i] = {
      ("%d"):format(p.pid), p.name, p.state, of_seconds(p.seconds), of_share(p.cpu),
      words.of_process(one, p, look.KINDS), of_count(p.done),
    }
  end
  return lay_out({ "PID", "NAME", "STATE", "FOR", "CPU", "WAITS FOR / DOES", "DONE" }, rows, "><<>><>")
end

local function pools(one)
  local rows = {}
  for i, p in ipairs(one.pools) do
    rows[i] = {
      ("%d"):format(p.number), p.owner and ("%d"):format(p.owner) or "gone", ("%d"):format(#p.workers),
      of_share(p.busy), of_count(p.out), of_count(p.done), of_count(p.failed), of_rate(p.rate),
    }
  end
  return #rows > 0
    and lay_out({ "POOL", "OWNER", "WORKERS", "BUSY", "OUT", "DONE", "FAILED", "DONE/s" }, rows, ">>>>>>>>") or {}
end

-- Those through which something went, or for which somebody waits; the longest first.
local function shown_queues(one)
  local shown = {}
  for _, queue in ipairs(one.queues) do
    if queue.put > 0 or queue.asleep > 0 and not queue.of then
      shown[#shown + 1] = queue
    end
  end
  table.sort(shown, function(a, b)
    if a.length ~= b.length then
      return a.length > b.length
    elseif a.put_rate ~= b.put_rate then
      return a.put_rate > b.put_rate
    end
    return a.object < b.object
  end)
  return shown
end

local function queues(one)
  local rows = {}
  for i, q in ipairs(first_of(shown_queues(one), ROWS_MOST)) do
    rows[i] = {
      ("%d"):format(q.object), of_count(q.length) .. (q.most > 0 and "/" .. of_count(q.most) or ""),
      of_rate(q.put_rate), of_rate(q.got_rate), ("%d (%d asleep)"):format(q.readers, q.asleep),
      (q.of or "") .. (q.closed and "closed" or ""),
    }
  end
  return #rows > 0 and lay_out({ "QUEUE", "LENGTH", "PUT/s", "GET/s", "READERS", "OF" }, rows, ">>>><<") or {}
end

local function locks(one)
  local rows = {}
  for i, l in ipairs(first_of(one.locks, ROWS_MOST)) do
    local holders = l.holder and { l.holder } or l.readers or {}
    rows[i] = {
      ("%d"):format(l.object), l.kind, table.concat(holders, " "), table.concat(l.waiters, " "),
    }
  end
  return #rows > 0 and lay_out({ "LOCK", "KIND", "HELD BY", "WAITED FOR BY" }, rows, "><<<") or {}
end

local function deadlocks(one)
  local lines = {}
  for _, circle in ipairs(one.deadlocks) do
    lines[#lines + 1] = "WAITING FOR EACH OTHER, and none of them will go on:"
    for _, line in ipairs(words.of_circle(one, circle, look.KINDS)) do
      lines[#lines + 1] = "  " .. line
    end
  end
  return lines
end

local function title(one)
  return ("tree %d  %s  up %s   %d process%s  arena %s of %s"):format(one.pid, one.command, of_seconds(one.up),
    #one.processes, #one.processes == 1 and "" or "es", of_bytes(one.memory), of_bytes(one.size))
end

-- The page's lines. order: one of page.ORDERS.
function page.lines(one, order)
  local lines = { title(one) }
  for _, part in ipairs({ deadlocks(one), processes(one, order), pools(one), queues(one), locks(one) }) do
    if #part > 0 then
      table.move(part, 1, #part, #lines + 1, lines)
      lines[#lines + 1] = ""
    end
  end
  lines[#lines] = lines[#lines] ~= "" and lines[#lines] or nil
  return lines
end

-- The columns and lines of the terminal there is, or nil.
page.size = core.terminal_size

-- As much of the lines as there is room for.
function page.cut(lines, columns, most)
  local cut = {}
  for i = 1, math.min(#lines, most) do
    local line = lines[i]
    local n = utf8.len(line)
    cut[i] = (n or #line) > columns and line:sub(1, n and utf8.offset(line, columns + 1) - 1 or columns) or line
  end
  return cut
end

return page
