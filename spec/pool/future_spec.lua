-- SPDX-License-Identifier: MIT
-- Futures: what they tell, how they are waited for, called off and called back; as_completed and wait_all.

local leaks = require("spec.support.leaks")

describe("a future", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  local function gated()
    local gate = mproc.Queue()
    return gate, function(x)
      gate:get()
      return x
    end
  end

  it("gives all results, again and again", function()
    local pool <close> = mproc.Pool(1)
    local future = pool:submit(function() return 1, nil, 3 end)
    for _ = 1, 2 do
      assert.same({ 1, nil, 3, n = 3 }, table.pack(future:get()))
    end
    assert.is_true(future:ready())
    assert.is_true(future:done())
    assert.is_true(future:successful())
    assert.is_true(future:wait(0))
    assert.is_false(future:running())
    assert.is_false(future:cancelled())
    assert.is_false(future:cancel())
    assert.is_nil(future:exception())
    assert.matches("mproc.Future 1: done", tostring(future))
  end)

  it("raises its task's error at each get", function()
    local pool <close> = mproc.Pool(1)
    local future = pool:submit(error, { code = 1 })
    assert.is_true(future:wait(20))
    for _ = 1, 2 do
      assert.same({ false, { code = 1 } }, { pcall(future.get, future) })
    end
    assert.same({ code = 1 }, future:exception())
    assert.is_false(future:successful())
    assert.matches("failed", tostring(future))
  end)

  it("waits no longer than asked", function()
    local pool <close> = mproc.Pool(1)
    local gate, wait = gated()
    local future = pool:submit(wait, 5)
    for _, method in ipairs({ "get", "exception" }) do
      assert.same({ nil, "timeout", n = 2 }, table.pack(future[method](future, 0.02)))
      assert.same({ nil, "timeout", n = 2 }, table.pack(future[method](future, 0)))
      assert.same({ nil, "timeout", n = 2 }, table.pack(future[method](future, -1)))
    end
    assert.same({ false, "timeout" }, { future:wait(0.02) })
    assert.is_false(future:ready())
    assert.is_false(future:successful())
    assert.matches("pending", tostring(future))
    assert.has_error(function() future:get(true) end)
    gate:put(true)
    assert.equal(5, future:get(20))
  end)

  it("that has not begun can be cancelled, and then never runs", function()
    local pool <close> = mproc.Pool(1)
    local gate, wait = gated()
    local ran = mproc.Queue()
    local first = pool:submit(wait, 1)
    local futures = {}
    for i = 1, 50 do
      futures[i] = pool:submit(function() ran:put(i) end)
    end
    local many = pool:map_async(function() ran:put("map") end, { 1, 2, 3 })
    repeat until first:running()
    assert.is_false(futures[7]:running())
    assert.is_false(first:cancel())
    for i = 1, 50, 2 do
      assert.is_true(futures[i]:cancel())
      assert.is_true(futures[i]:cancel())
    end
    assert.is_true(many:cancel())
    local err = select(2, pcall(futures[1].get, futures[1]))
    assert.equal("cancelled", err.kind)
    assert.matches("task 2, submit.*cancelled", tostring(err))
    assert.is_true(futures[1]:cancelled() and futures[1]:done())
    gate:put(true)
    pool:join()
    assert.equal(25, ran:qsize())
    for i = 2, 50, 2 do
      assert.equal(i, ran:get(0))
    end
  end)

  it("calls back in the calls that wait, in order, with the future", function()
    local pool <close> = mproc.Pool(1)
    local seen = {}
    local future = pool:submit(math.max, 3, 4)
    future:add_done_callback(function(f)
      seen[#seen + 1] = f:get()
    end)
    future:add_done_callback(function() seen[#seen + 1] = "second" end)
    assert.same({}, seen)
    assert.equal(4, future:get())
    assert.same({ 4, "second" }, seen)
    future:add_done_callback(function() seen[#seen + 1] = "late" end)
    assert.same({ 4, "second", "late" }, seen)
  end)

  it("of apply_async has a callback of results and one of the error", function()
    local pool <close> = mproc.Pool(1)
    local seen = {}
    local options = {
      callback = function(...) seen[#seen + 1] = table.pack("ok", ...) end,
      error_callback = function(err) seen[#seen + 1] = { "failed", err } end,
    }
    pool:apply_async(function(a, b) return a, b end, { 1, 2 }, nil, options):wait()
    pool:apply_async(error, { { 5 } }, nil, options):wait()
    assert.same({ { "ok", 1, 2, n = 3 }, { "failed", { 5 } } }, seen)
  end)

  it("cannot travel", function()
    local pool <close> = mproc.Pool(1)
    local future = pool:submit(math.max, 1)
    assert.error_matches(function() pool:apply(math.max, { future }) end, "a future belongs to")
    assert.equal(1, future:get())
  end)

  it("is given by as_completed as it ends", function()
    local pool <close> = mproc.Pool(3)
    local other <close> = mproc.Pool(1)
    local gates, futures = {}, {}
    for i = 1, 3 do
      local gate, wait = gated()
      gates[i], futures[i] = gate, pool:submit(wait, i)
    end
    futures[4] = other:submit(math.max, 4)
    local order = {}
    for future in mproc.as_completed(futures) do
      order[#order + 1] = future:get()
      local following = ({ [4] = 2, [2] = 3, [3] = 1 })[order[#order]]
      if following then
        gates[following]:put(true)
      end
    end
    assert.same({ 4, 2, 3, 1 }, order)
  end)

  it("is waited for by as_completed no longer than asked", function()
    local pool <close> = mproc.Pool(1)
    local gate, wait = gated()
    local nextone = mproc.as_completed({ pool:submit(wait, 1) }, 0.05)
    assert.same({ nil, "timeout", n = 2 }, table.pack(nextone()))
    gate:put(true)
    assert.same({}, (function()
      local list = {}
      for f in mproc.as_completed({}) do list[#list + 1] = f end
      return list
    end)())
  end)

  it("is one of many for wait_all", function()
    local pool <close> = mproc.Pool(3)
    local gate, wait = gated()
    local slow, quick = pool:submit(wait, 1), pool:submit(math.max, 2)
    local done, pending = mproc.wait_all({ slow, quick }, "first_completed")
    assert.same({ { quick }, { slow } }, { done, pending })
    done, pending = mproc.wait_all({ slow, quick }, "all", 0.05)
    assert.same({ { quick }, { slow } }, { done, pending })
    local bad = pool:submit(error, "x")
    done, pending = mproc.wait_all({ slow, bad }, "first_error")
    assert.same({ { bad }, { slow } }, { done, pending })
    bad:exception()
    gate:put(true)
    done, pending = mproc.wait_all({ slow, quick })
    assert.same({ { slow, quick }, {} }, { done, pending })
    assert.same({ {}, {} }, { mproc.wait_all({}) })
    assert.error_matches(function() mproc.wait_all({ slow }, "some") end, "first_completed")
    assert.error_matches(function() mproc.wait_all({ 5 }) end, "list of futures")
  end)
end)
