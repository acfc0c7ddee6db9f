-- SPDX-License-Identifier: MIT
-- A finalizer that ran while a connection was about to take a message, and closed the connection, had it read through
-- a null pointer; one that took the message had it given twice, or the next one lost.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")

local SECONDS = 10
local LONG = 5000

describe("a finalizer that runs while a message is taken", function()
  leaks.watch()

  local ways = {
    recv = function(c) return c:recv(SECONDS) end,
    recv_bytes = function(c) return c:recv_bytes(nil, SECONDS) end,
  }

  -- Two long messages and a short one are there; calls take(server), and act(server) while it runs.
  local function during(take, act)
    local listener <close> = assert(mproc.Listener({ authkey = false }))
    local client <close> = assert(mproc.Client({ address = listener.address, authkey = false }))
    local server = assert(listener:accept(SECONDS))
    for _, letter in ipairs({ "x", "y", "z" }) do
      client:send(letter:rep(letter == "z" and 1 or LONG))
    end
    assert.is_true(server:poll(SECONDS))
    local taking, acted = false, nil
    local mt = { __gc = function() acted = taking and act(server) or acted end }
    collectgarbage("generational") -- a young collection is one step, which the first allocation makes
    collectgarbage("stop")
    setmetatable({}, mt)
    taking = true
    collectgarbage("restart")
    local ok, value = pcall(take, server)
    taking = false
    collectgarbage("incremental")
    return server, acted, ok, value
  end

  local function last(text)
    return text and text:sub(-1)
  end

  for name, take in pairs(ways) do
    it("may close the connection: " .. name, function()
      local _, acted, ok, message = during(take, function(c)
        c:close()
        return true
      end)
      assert.is_true(acted)
      assert.is_false(ok)
      assert.truthy(tostring(message):find("the connection is closed", 1, true), message)
    end)

    it("may take the message itself: " .. name, function()
      local server <close>, acted, ok, value = during(take, function(c) return last(take(c)) end)
      assert.is_true(ok)
      assert.same({ "x", "y", "z" }, { acted, last(value), last(take(server)) })
    end)
  end
end)
