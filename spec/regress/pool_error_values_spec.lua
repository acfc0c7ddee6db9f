-- SPDX-License-Identifier: MIT
-- A task that raised nil failed with nil: nobody learned that it had, nor where. One that raised an object that cannot
-- travel failed with what the codec said of "result", without the place where it was raised. An initializer's error of
-- that kind was never told: workers were started without end, and get() waited for ever.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")

local Error = { __tostring = function(e) return "E" .. e.code end }

local function raises_nil()
  error(({}).message)
end

local function raises_object()
  error(setmetatable({ code = 3 }, Error))
end

local function raises_file()
  error({ message = "cannot parse", file = io.stdout })
end

local function assert_told(err, text)
  assert.equal("string", type(err))
  assert.truthy(err:find(text, 1, true), err)
  assert.truthy(err:find("remote traceback of worker", 1, true), err)
  assert.truthy(err:find("pool_error_values_spec.lua", 1, true), err)
end

describe("a pool's task", function()
  leaks.watch()

  it("that raises nil has failed, with a text and the place", function()
    local pool <close> = mproc.Pool(1)
    local future = pool:submit(raises_nil)
    assert_told(future:exception(10), "(error object is nil)")
    assert.is_false(future:successful())
    local ok, err = pcall(pool.map, pool, raises_nil, { 1, 2 })
    assert.is_false(ok)
    assert_told(err, "(error object is nil)")
    local seen
    pool:apply_async(raises_nil, {}, nil, { error_callback = function(e) seen = e end }):wait(10)
    assert_told(seen, "(error object is nil)")
  end)

  it("that raises what cannot travel has failed with its text, the place, and why it did not travel", function()
    local pool <close> = mproc.Pool(1)
    local _, err = pcall(pool.apply, pool, raises_object)
    assert_told(err, "E3")
    assert.truthy(err:find("could not travel", 1, true), err)
    _, err = pcall(pool.apply, pool, raises_file)
    assert_told(err, "(error object is a table value)")
    assert.truthy(err:find("error.file: a file belongs to one process", 1, true), err)
  end)
end)

describe("a pool whose initializer raises", function()
  leaks.watch()

  for what, make in pairs({
    ["an object that cannot travel"] = function() return setmetatable({ code = 7 }, Error) end,
    ["a coroutine"] = function() return coroutine.create(print) end,
    ["nil"] = function() return nil end,
  }) do
    it(what .. " fails its tasks with that, and starts no more workers", function()
      local pool = mproc.Pool{ processes = 2, initializer = function() error(make()) end }
      local err = pool:submit(math.abs, 1):exception(10)
      assert.equal("string", type(err))
      assert.truthy(err:find("pool_error_values_spec.lua", 1, true), err)
      assert.is_false((pcall(pool.apply, pool, math.abs, { 1 })))
      local deadline = mproc.time() + 5
      while #pool:workers() > 0 and mproc.time() < deadline do
        pool:step(0.05)
      end
      assert.same({}, pool:workers())
      pool:terminate()
    end)
  end

  it("fails its tasks in a serial pool too, and can be joined", function()
    local pool = mproc.Pool{ processes = 0, serial = true, initializer = function() error("no database", 0) end }
    for _ = 1, 2 do
      local ok, err = pcall(pool.map, pool, math.abs, { 1, 2, 3 })
      assert.same({ false, "no database" }, { ok, err })
      assert.is_nil(mproc.worker())
    end
    assert.is_true(pool:join(10))
  end)
end)
