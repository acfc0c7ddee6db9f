-- SPDX-License-Identifier: MIT
-- What a test may know of the process that keeps descriptors: who it is, and how many files it has.

local core = require("mproc.core")
local lfs = require("lfs")
local mproc = require("mproc")

local store = {}

local OWN = 5 -- 0 to 2, its listener, its epoll set

store.pid = core.descriptor_store

-- Starts it and connects this process, so that a test that does so too opens no more files than it closes.
function store.warm()
  assert(mproc.fd(0)):close()
end

local function is_socket_of_ours(name)
  local target = lfs.symlinkattributes(name, "target")
  return target and target:find("^socket:") ~= nil
end

-- Files that it has besides its own, and connections: a test that counts passes nothing but files that are none.
function store.kept()
  local pid, n = store.pid(), 0
  for name in lfs.dir(("/proc/%d/fd"):format(pid)) do
    if tonumber(name) and not is_socket_of_ours(("/proc/%d/fd/%s"):format(pid, name)) then
      n = n + 1
    end
  end
  return n - (OWN - 1)
end

-- Waits until it has as many.
function store.settle(n)
  require("spec.support.proc").until_true(function() return store.kept() == n end, n .. " files in the store")
end

return store
