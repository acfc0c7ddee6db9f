-- SPDX-License-Identifier: MIT
-- Lua's allocator fails at every request of calls of descriptors, sockets and managers in turn: what was begun is let
-- go, and what failed works again.

local children = require("spec.support.children")
local failalloc = require("failalloc")
local leaks = require("spec.support.leaks")
local managers = require("spec.support.managers")
local mproc = require("mproc")
local requests = require("spec.support.requests")
local store = require("spec.support.store")

local SECONDS = 20

-- The error of what failed, or nil, message, NAME, is about memory.
local function check_outcome(ok, result, message, code)
  assert.truthy(ok or requests.out_of_memory(result), result)
  if ok and result == nil and code then
    assert.truthy(requests.out_of_memory(message) or code == "ENOMEM", message)
  end
end

store.warm() -- one per tree, and a connection to it

describe("with failing allocations", function()
  leaks.watch()

  -- All later requests fail too, or this one alone.
  for name, with in pairs({ after = failalloc.after, once = failalloc.once }) do
    it("a Descriptor is made, travels and is used, or not: " .. name, function()
      local first <close> = mproc.fd(0)
      first:fileno()
      local q = mproc.Queue()
      requests.fail_each(function()
        local d <close> = assert(mproc.fd(0))
        q:put(d)
        local taken <close> = q:get(0)
        local file <close> = assert(taken:file("r"))
        return taken:fileno(), tostring(taken), tostring(file)
      end, function(ok, result)
        assert.truthy(ok or requests.out_of_memory(result), result)
        while q:get(0) do end
        leaks.collect()
      end, with)
    end)

    it("a Listener is made and asked, or not: " .. name, function()
      requests.fail_each(function()
        local l <close> = assert(mproc.Listener({ address = "@mproc-memory" }))
        return l:accept(0), l:fileno(), tostring(l)
      end, function(ok, result)
        assert.truthy(ok or requests.out_of_memory(result), result)
        leaks.collect()
      end, with)
    end)

    it("a connection is made, sends and receives, or not: " .. name, function()
      local listener <close> = assert(mproc.Listener({ address = "@mproc-memory" }))
      local p = mproc.Process({ daemon = true, target = function()
        while true do
          local c = listener:accept()
          for value in function() return c and c:recv() end do
            if value == "over" then return end
            pcall(c.send, c, value)
          end
        end
      end }):start()
      local value = { 1, ("x"):rep(2000), { 2 } }
      requests.fail_each(function()
        local c <close> = assert(mproc.Client({ address = listener.address }))
        c:send(value)
        return c:recv(SECONDS)
      end, function(ok, result)
        assert.truthy(ok and result[2] == value[2] or not ok and requests.out_of_memory(result), result)
        leaks.collect()
      end, with)
      local c <close> = assert(mproc.Client({ address = listener.address }))
      c:send("over")
      children.finish(p)
    end)

    it("a manager's objects are made and called, or not: " .. name, function()
      local m <close> = managers.start({ objects = { named = managers.Counter(5) }, address = "@mproc-memory" })
      local far <close> = assert(mproc.connect(m.address))
      for _, here in ipairs({ m, far }) do
        local c = here:create("Counter")
        local made = 0
        requests.fail_each(function()
          local other <close> = here:create("Counter", 3)
          return c:add(1), other:get() + here:get("named"):call("get", {}, SECONDS)
        end, function(ok, n, sum)
          check_outcome(ok, n)
          assert.truthy(not ok or sum == 8)
          made = made + (ok and 1 or 0)
          leaks.collect()
        end, with)
        assert.is_true(c:get() >= made)
        assert.equal(c:get() + 1, c:add(1))
      end
    end)
  end

  it("a manager is started and ends, or not", function()
    requests.fail_each(function()
      local m <close> = assert(mproc.Manager({ Counter = managers.Counter }))
      return tostring(m)
    end, function(ok, result)
      local no_stack = tostring(result):find("no stack left", 1, true) -- whose growth was what failed, in a decode
      assert.truthy(ok or no_stack or requests.out_of_memory(result) or result.kind == "manager_died", result)
      leaks.collect()
      for _, p in ipairs(mproc.active_children()) do
        assert.is_true(p:join(SECONDS)) -- nobody has a handle
      end
    end, failalloc.once)
  end)
end)
