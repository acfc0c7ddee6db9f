-- SPDX-License-Identifier: MIT
-- Functions on their way to a worker that has no time to read them, and a serial pool's initializer.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")

local FUNCTIONS = 300 -- more than a channel takes unread before its owner looks through it

describe("a pool", function()
  leaks.watch()

  it("has all functions for a worker that was busy while hundreds came and were forgotten", function()
    local pool <close> = mproc.Pool(1)
    local go = mproc.Event()
    local busy = pool:submit(function() go:wait() return "was busy" end)
    local futures = {}
    for i = 1, FUNCTIONS do
      futures[i] = pool:map_async(assert(load(("return %d + (...)"):format(i))), { 1000 })
      if i % 3 == 0 then futures[i]:cancel() end
    end
    go:set()
    assert.equal("was busy", busy:get(20))
    for i, future in ipairs(futures) do
      if i % 3 == 0 then
        assert.is_true(future:cancelled())
      else
        assert.same({ i + 1000 }, future:get(20))
      end
    end
  end)

  it("replaces a worker whose functions found no room when its channel was sorted", function()
    local protocol = require("mproc.pool.protocol")
    local post, receive = protocol.post_when_room, protocol.receive
    finally(function() protocol.post_when_room, protocol.receive = post, receive end)
    local pool <close> = mproc.Pool(1)
    local busy = pool:submit(mproc.sleep, 60)
    proc.until_true(function() return busy:running() end, "the task")
    local sorting, failed
    protocol.receive = function(...)
      sorting = true
      return receive(...)
    end
    protocol.post_when_room = function(...)
      if sorting and not failed then
        failed = true
        return nil, "no room", "ENOMEM"
      end
      return post(...)
    end
    local futures = {}
    for i = 1, FUNCTIONS do
      futures[i] = pool:map_async(assert(load(("return %d + (...)"):format(i))), { 1000 })
    end
    assert.is_true(failed)
    for i, future in ipairs(futures) do
      assert.same({ i + 1000 }, future:get(20))
    end
    assert.equal("worker_died", busy:exception(20).kind)
  end)

  it("runs its initializer once before the first task when it is serial", function()
    local ran = {}
    local pool <close> = mproc.Pool{ processes = 0, serial = true, initializer = function(x) ran[#ran + 1] = x end,
      initargs = { "args" } }
    assert.same({}, ran)
    assert.equal(3, pool:apply(math.max, { 1, 3 }))
    assert.equal(4, pool:apply(math.max, { 1, 4 }))
    assert.same({ "args" }, ran)
  end)
end)
