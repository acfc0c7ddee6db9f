-- SPDX-License-Identifier: MIT
-- The process trees that can be looked at, and what /proc says of their processes. Used by mproc.cli.top.

local core = require("mproc.core")

local tree = {}

local TICKS = 100 -- a second of /proc's times has these, on every Linux

-- Of this user's processes those that have an arena, by tree: a list of { id, pid, fd }, without the caller's own. pid:
-- that process's tree alone. Or nil, message.
function tree.find(pid)
  local own = core.trees(core.getpid())
  local own_id = own and own[1] and own[1].tree
  local all, message = core.trees(pid)
  if not all then
    return nil, message
  end
  local found, seen = {}, {}
  for _, each in ipairs(all) do
    if each.tree ~= own_id and not seen[each.tree] then
      seen[each.tree] = true
      found[#found + 1] = { id = each.tree, pid = each.pid, fd = each.fd }
    end
  end
  table.sort(found, function(a, b) return a.pid < b.pid end)
  return found
end

-- What strangers wrote, for a terminal.
function tree.printable(text)
  return (text:gsub("[%c\127]", "?"))
end

local function read(pid, name)
  local file <close> = io.open(("/proc/%d/%s"):format(pid, name), "rb")
  return file and file:read("a") or nil
end

-- The words of the command that the process was started with, or nil.
function tree.command(pid)
  local text = read(pid, "cmdline")
  if not text or text == "" then
    return nil
  end
  return tree.printable((text:gsub("%z$", ""):gsub("%z", " ")))
end

-- { state (the system's letter), cpu (seconds) }, or nil: there is no such process any more.
function tree.status(pid)
  local text = read(pid, "stat")
  local state, rest = (text or ""):match("^.*%) (%a) (.*)$")
  if not state then
    return nil
  end
  local fields = {}
  for field in rest:gmatch("%S+") do
    fields[#fields + 1] = field
  end
  return { state = state, cpu = ((tonumber(fields[11]) or 0) + (tonumber(fields[12]) or 0)) / TICKS }
end

return tree
