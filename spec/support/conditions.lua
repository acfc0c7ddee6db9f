-- SPDX-License-Identifier: MIT
-- Processes that wait for a condition.

local children = require("spec.support.children")

local conditions = {}

conditions.LIMIT = 20 -- seconds: nothing takes so long

-- How many wait for c and are not notified.
function conditions.waiting(c)
  return tonumber(tostring(c):match("(%d+) waiting$"))
end

function conditions.until_waiting(c, n)
  require("spec.support.proc").until_true(function() return conditions.waiting(c) == n end, n .. " waiting")
end

-- A process that waits once and puts { name, what wait returned } into out. It waits already when this returns.
function conditions.waiter(c, out, name, timeout)
  local before = conditions.waiting(c)
  local p = children.start(function()
    out:put({ name, c:with(function() return c:wait(timeout) end) })
  end)
  conditions.until_waiting(c, before + 1)
  return p
end

-- A process that notifies all again and again, until it is killed.
function conditions.notifier(c)
  return children.start(function()
    while true do
      c:with(function() c:notify_all() end)
    end
  end)
end

function conditions.notify(c, n)
  c:with(function() c:notify(n) end)
end

-- The names of n that have put what they got into out, sorted.
function conditions.names(out, n)
  local got = {}
  for i = 1, n do
    got[i] = out:get(conditions.LIMIT)[1]
  end
  table.sort(got)
  return table.concat(got, " ")
end

return conditions
