-- SPDX-License-Identifier: MIT
-- Who runs: process ids of the parent and its children.

local mproc = require("mproc")

local function who()
  return mproc.getpid(), mproc.getppid(), mproc.current_process().name
end

print(("parent: pid %d, name %s"):format(mproc.getpid(), mproc.current_process().name))
for n = 1, 2 do
  local p = mproc.Process{ target = who, name = "child-" .. n }:start()
  local pid, ppid, name = p:result()
  print(("%s: pid %d, parent %d"):format(name, pid, ppid))
  assert(pid == p.pid and ppid == mproc.getpid())
end
