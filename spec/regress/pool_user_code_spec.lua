-- SPDX-License-Identifier: MIT
-- User code that a pool calls where it has read something and not yet written it: each of these once gave a wrong
-- result, another's error, or no end.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local program = require("spec.support.program")

local SECONDS = 20

describe("a pool whose user's code", function()
  leaks.watch()

  it("uses the pool while a function is packed: each call runs its own function", function()
    local Hooked, pool, nested = {}, nil, nil
    mproc.register("spec.pool_user_code", Hooked, { decode = function()
      if nested == false then
        nested = pool:map(function() return "theirs" end, { 1 })
      end
      return setmetatable({}, Hooked)
    end })
    Hooked.__mproc_encode = function() return {} end
    pool = mproc.Pool(2)
    local hooked = setmetatable({}, Hooked)
    nested = false
    assert.same({ "mine", "mine" }, pool:map(function() return hooked and "mine" end, { 1, 2 }))
    assert.same({ "theirs" }, nested)
    pool:join()
    pool = nil -- the hook stays registered
  end)

  it("is finalizers that use the pool: every item has its own result", function()
    local result = program.text([[
      local mproc = require("mproc")
      local pool, over = mproc.Pool(2), false
      local function trash()
        return setmetatable({}, { __gc = function()
          if not over then
            assert(pool:map(function() return "finalizer" end, { 1 })[1] == "finalizer")
          end
        end })
      end
      collectgarbage("generational")
      local ends, n, upvalue = mproc.time() + 3, 0, {}
      repeat
        n = n + 1
        for _ = 1, 10 do trash() end
        local r = pool:map(function(x) return { x, upvalue } end, { n, n + 1 })
        assert(r[1][1] == n and r[2][1] == n + 1)
      until mproc.time() > ends
      over = true
      print(pool:join(10))
    ]], { seconds = SECONDS })
    assert.same({ "true\n", "" }, { result.out, result.err })
  end)

  it("combines and raises, while a callback moves the pool along: reduce raises its error", function()
    local pool <close> = mproc.Pool(2)
    local owner, ended = mproc.getpid(), nil
    pool:apply_async(function() return 1 end, {}, nil, { callback = function()
      local ends = mproc.time() + 1
      while mproc.time() < ends and ended == nil do pool:step(0.01) end
    end })
    local ok, err = pcall(pool.reduce, pool, function(x) require("mproc").sleep(0.1) return x end, { 1, 2, 3, 4 },
      function(a, b)
        if require("mproc").getpid() == owner then error("cannot combine", 0) end
        return a + b
      end)
    assert.same({ false, "cannot combine" }, { ok, err })
  end)

  it("terminates the pool in a callback: join ends", function()
    for _, task in ipairs({ math.abs, error, function() os.exit(3) end }) do
      local pool = mproc.Pool(2)
      local function terminate() pool:terminate() end
      pool:apply_async(task, { 1 }, nil, { callback = terminate, error_callback = terminate })
      assert.is_true(pool:join(SECONDS))
    end
    do
      local pool <close> = mproc.Pool(2)
      pool:submit(math.abs, 1):add_done_callback(function() pool:terminate() end)
    end
  end)

  it("terminates the pool in an iterator: its stream says so", function()
    local pool = mproc.Pool(2)
    local n = 0
    local ok, err = pcall(function()
      for _ in pool:imap(math.abs, function()
        n = n + 1
        if n == 3000 then return pool:terminate() end
        return n
      end) do end
    end)
    assert.is_false(ok)
    assert.equal("terminated", err.kind)
  end)

  it("raises in a serial pool's initializer: all tasks fail with that, and join ends", function()
    local pool = mproc.Pool{ processes = 0, serial = true, initializer = function() error("no database", 0) end }
    for _ = 1, 2 do
      local ok, err = pcall(pool.map, pool, math.abs, { 1, 2 })
      assert.is_false(ok)
      assert.matches("^no database", err)
    end
    assert.is_nil(mproc.worker())
    assert.is_true(pool:join(SECONDS))
  end)

  it("speaks of interruptions in its error: that is no Ctrl-C", function()
    local result = program.text([[
      local mproc = require("mproc")
      local pool = mproc.Pool(1)
      local future = pool:apply_async(math.abs, { -1 }, nil, { callback = function()
        error("the transfer was interrupted! will retry", 0)
      end })
      print(pcall(future.get, future))
      pool:join()
      error("a plain failure, later")
    ]], { seconds = SECONDS })
    assert.equal("true\t1\n", result.out)
    assert.equal(1, result.code)
    assert.matches("a pool's callback raised: the transfer was interrupted!", result.err)
  end)

  it("yields in an iterator and is closed or dropped: its items are called off", function()
    for _, leave in ipairs({ coroutine.close, function() end }) do
      for _, chunksize in ipairs({ 1, 4 }) do
        local pool = mproc.Pool(2)
        local n = 0
        local co = coroutine.create(function()
          return pool:map(math.abs, function()
            n = n + 1
            if n == 6 then coroutine.yield("left") end
            return n < 50 and n or nil
          end, chunksize)
        end)
        assert.same({ true, "left" }, { coroutine.resume(co) })
        leave(co)
        co = nil -- luacheck: ignore 331 311
        collectgarbage()
        collectgarbage()
        assert.equal(1, pool:apply(math.abs, { -1 }))
        assert.is_true(pool:join(SECONDS))
      end
    end
  end)
end)

describe("a pool's message", function()
  leaks.watch()

  it("names the item that failed when nobody has asked", function()
    local result = program.text([[
      local pool = require("mproc").Pool(1)
      pool:map_async(function(x)
        if x == 30 then error("bad input", 0) end
      end, { 10, 20, 30, 40 })
      pool:join()
    ]], { seconds = SECONDS })
    assert.matches("^mproc: item 3 of map_async%(.*%) failed and nobody asked: bad input\n", result.err)
  end)
end)

describe("lists and options", function()
  leaks.watch()

  local function show(a, b, c)
    return tostring(a) .. "/" .. tostring(b) .. "/" .. tostring(c)
  end

  it("are told apart by an option's name and nothing at [1]", function()
    local pool <close> = mproc.Pool(1)
    assert.same({}, pool:map(show, { 1, 2 }, {}))
    assert.same({}, pool:map(show, { 1, 2 }, {}, { 3, 4 }))
    assert.same({}, pool:map(show, {}, { 1, 2 }))
    assert.same({}, pool:map(show, { 1, 2 }, { n = 0 }))
    assert.same({ "1/3/nil" }, pool:map(show, { 1, 2 }, { 3 }, { chunksize = 1 }))
    assert.same({ "1/nil/nil" }, pool:map(show, { 1 }, { chunksize = 1 }))
  end)

  it("lose nothing that is given", function()
    local pool <close> = mproc.Pool(1)
    for _, call in ipairs({
      function() pool:map(show, { 1, 2 }, 3, { 4, 5 }) end,
      function() pool:map(show, { 1 }, { chunksize = 1 }, 2) end,
      function() pool:map(show, next, {}, nil, nil, 2, 3) end,
      function() pool:map(show, { 1 }, nil, { chunksize = 1 }) end,
    }) do
      assert.error_matches(call, "comes one chunksize or table of options, got .* as well")
    end
    assert.error_matches(function() pool:map(show, { 1 }, { chunksiz = 1 }) end, "did you mean 'chunksize'")
    assert.error_matches(function() pool:map(show, next, {}, nil, 5) end, "chunksize or table of options comes behind")
    assert.error_matches(function() pool:map(show, next, { zip = true }) end, "zip = true takes a list of lists")
  end)

  it("leave an iterator its values", function()
    local pool <close> = mproc.Pool(1)
    assert.same({ "a/1/nil" }, pool:map(show, next, { a = 1 }))
    assert.same({ "a/1/nil" }, pool:map(show, pairs({ a = 1 })))
    assert.same({ "1/7/nil", "2/8/nil" }, pool:map(show, ipairs({ 7, 8 })))
    assert.same({ "1/7/nil", "2/8/nil" }, pool:map(show, next, { 7, 8 }, { chunksize = 2 }))
    local values = { 5, 6 }
    assert.same({ "6/nil/nil", "5/nil/nil" }, pool:map(show, function() return table.remove(values) end, 1))
  end)
end)
