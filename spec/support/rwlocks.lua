-- SPDX-License-Identifier: MIT
-- Processes that hold a read-write lock.

local children = require("spec.support.children")

local rwlocks = {}

-- A process that calls acquire and keeps what it got until it is told to release it, or is killed. Returns it, a
-- function that waits for and returns what acquire gave, and one that tells it to release and waits for its end.
local function holder(rw, acquire, release)
  local mproc = require("mproc")
  local said, go = mproc.Queue(), mproc.Queue()
  local p = children.start(function()
    said:put(table.pack(rw[acquire](rw)))
    go:get()
    rw[release](rw)
  end)
  return p, function()
    return table.unpack(said:get(20))
  end, function()
    go:put(true)
    children.finish(p)
  end
end

function rwlocks.reader(rw)
  return holder(rw, "read_acquire", "read_release")
end

function rwlocks.writer(rw)
  return holder(rw, "write_acquire", "write_release")
end

-- Waits until rw says so of itself.
function rwlocks.until_text(rw, text)
  require("spec.support.proc").until_true(function()
    return tostring(rw):find(text, 1, true)
  end, text)
end

return rwlocks
