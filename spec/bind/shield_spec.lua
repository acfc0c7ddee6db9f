-- SPDX-License-Identifier: MIT
-- core.shield and core.outside: mproc's own functions run where no hook ends them, user code runs where the caller is.

local core = require("mproc.core")
local program = require("spec.support.program")

local pack = table.pack

-- Calls f with a count hook that raises at the nth instruction from here on. Whether it did.
local function raise_at(n, f, ...)
  local ok, err = pcall(function(...)
    debug.sethook(function()
      debug.sethook()
      error("out of nowhere", 0)
    end, "", n)
    f(...)
    debug.sethook()
  end, ...)
  return not ok and err == "out of nowhere"
end

local function count_steps(record)
  for i = 1, 100 do
    record.steps = i
  end
  record.whole = record.whole + 1
end

describe("a shielded function", function()
  it("takes and gives any number of values", function()
    local same = core.shield(function(...) return ... end)
    assert.equal(0, select("#", same()))
    assert.same(pack(1, nil, false, nil), pack(same(1, nil, false, nil)))
    assert.equal(100000, select("#", same(table.unpack({}, 1, 100000))))
  end)

  it("raises any value as it was raised", function()
    local raise = core.shield(function(value) error(value, 0) end)
    for _, value in ipairs({ "text", 7, { "a table" }, print }) do
      local ok, err = pcall(raise, value)
      assert.is_false(ok)
      assert.equal(value, err)
    end
    assert.same(pack(pcall(error, nil)), pack(pcall(raise, nil))) -- Lua 5.5 raises a text instead
    assert.equal(5, core.shield(function() return 5 end)())
  end)

  it("closes its variables when it raises", function()
    local closed = {}
    local f = core.shield(function()
      local _ <close> = setmetatable({}, { __close = function(_, err) closed[#closed + 1] = err end })
      error("first", 0)
    end)
    assert.same({ false, "first" }, { pcall(f) })
    assert.same({ "first" }, closed)
  end)

  it("is not ended by a hook at any instruction", function()
    local shielded = core.shield(count_steps)
    local ended = 0
    for n = 1, 60 do
      local record = { steps = 0, whole = 0 }
      ended = ended + (raise_at(n, shielded, record) and 1 or 0)
      assert.is_true(record.steps == 0 and record.whole == 0 or record.steps == 100 and record.whole == 1)
    end
    assert.is_true(ended > 0)
    local torn = { steps = 0, whole = 0 }
    assert.is_true(raise_at(60, count_steps, torn))
    assert.equal(0, torn.whole) -- the hook does reach what is not shielded
  end)

  it("overflows no stack for ever when it calls itself by way of user code", function()
    local deep
    deep = core.shield(function(n)
      local ok, value = core.outside(function() return deep(n + 1) end)
      return ok and value or n
    end)
    assert.is_true(deep(1) > 10)
    assert.is_true(deep(1) > 10)
  end)

  it("is called directly inside another one", function()
    local inner = core.shield(function(f) return select(2, core.outside(f)) end)
    local outer = core.shield(function(f) return inner(f), coroutine.running() end)
    local here = coroutine.running()
    local where, thread = outer(function() return (coroutine.running()) end)
    assert.equal(here, where)
    assert.are_not.equal(here, thread)
  end)

  it("keeps no thread that has ended", function()
    local f = core.shield(function(g) return core.outside(g) end)
    local threads = setmetatable({}, { __mode = "k" })
    for _ = 1, 100 do
      local co = coroutine.create(function() f(coroutine.yield) end)
      coroutine.resume(co)
      threads[co] = true
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(threads))
    assert.same({ true, 1 }, { f(function() return 1 end) })
  end)
end)

describe("code outside a shield", function()
  local call = core.shield(function(...) return core.outside(...) end)

  it("gives true and results, or false and the error", function()
    assert.same(pack(true, 1, nil), pack(call(function(...) return ... end, 1, nil)))
    assert.same(pack(false, "bad"), pack(call(error, "bad", 0)))
    assert.same(pack(pcall(error, nil)), pack(call(error, nil)))
    assert.same(pack(true, 3), pack(core.outside(function() return 3 end)))
    assert.same(pack(false, "bad"), pack(core.outside(error, "bad", 0)))
  end)

  it("runs in the caller's thread, with its hooks", function()
    local here, seen = coroutine.running(), 0
    assert.same({ true, here }, { call(function() return (coroutine.running()) end) })
    debug.sethook(function() seen = seen + 1 end, "", 1)
    call(function() for _ = 1, 50 do seen = seen + 0 end end)
    debug.sethook()
    assert.is_true(seen > 50)
  end)

  it("may yield in the caller's coroutine", function()
    local co = coroutine.wrap(function()
      return call(function()
        local sum = 0
        for i = 1, 3 do
          sum = sum + coroutine.yield(i)
        end
        return sum
      end)
    end)
    assert.equal(1, co())
    assert.equal(2, co(10))
    assert.equal(3, co(20))
    assert.same({ true, 60 }, { co(30) })
  end)

  it("may be left by closing the coroutine: what the shielded function has open is closed", function()
    local closed = 0
    local f = core.shield(function(user)
      local _ <close> = setmetatable({}, { __close = function() closed = closed + 1 end })
      core.outside(user)
      closed = "it went on"
    end)
    for i = 1, 20 do
      local co = coroutine.create(f)
      assert.same({ true, "in" }, { coroutine.resume(co, function() coroutine.yield("in") end) })
      assert.equal(i - 1, closed)
      assert.is_true(coroutine.close(co))
      assert.equal(i, closed)
    end
    assert.same({ true, 1 }, { call(function() return 1 end) })
  end)

  it("tells an error in such a closing", function()
    local f = core.shield(function()
      local _ <close> = setmetatable({}, { __close = function() error("in closing", 0) end })
      core.outside(coroutine.yield)
    end)
    local co = coroutine.create(f)
    coroutine.resume(co)
    assert.same({ false, "in closing" }, { coroutine.close(co) })
  end)

  it("leaves a later call alone when a dead coroutine is closed", function()
    local f = core.shield(function(user, raise)
      core.outside(user)
      if raise then
        error("dead", 0)
      end
      return "whole"
    end)
    local dead = coroutine.create(f)
    assert.same({ false, "dead" }, { coroutine.resume(dead, function() end, true) })
    local live = coroutine.create(f)
    coroutine.resume(live, coroutine.yield)
    coroutine.close(dead)
    assert.same({ true, "whole" }, { coroutine.resume(live) })
  end)

  it("is called in place where a thread cannot be suspended", function()
    local f = core.shield(function(user)
      local got
      table.sort({ 2, 1 }, function(a, b)
        got = got or pack(core.outside(user, a, b))
        return a < b
      end)
      return table.unpack(got, 1, got.n)
    end)
    assert.equal("userdata", (select(2, f(function() return "userdata" end))))
    assert.same({ false, "bad" }, { f(function() error("bad", 0) end) })
  end)

  it("passes on a yield that is not its own", function()
    local f = core.shield(function(...) return coroutine.yield(...) end)
    local co = coroutine.wrap(function() return "end", f(1, 2) end)
    assert.same({ 1, 2 }, { co() })
    assert.same({ "end", 3, 4 }, { co(3, 4) })
    local ok, err = pcall(f)
    assert.is_false(ok)
    assert.truthy(err:find("outside a coroutine", 1, true))
  end)
end)

describe("an error that blames the caller", function()
  it("blames the user's line through shields, in user code that a shield calls, and in coroutines", function()
    local r = program.text([[
      local core = require("mproc.core")
      local dir = debug.getinfo(require("mproc.errors").raise, "S").source:match("^(.*)errors%.lua$")
      local blame, call = load(
        "local core = ... return core.shield(function() core.misuse('mine') end), "
        .. "core.shield(function(f) return select(2, core.outside(f)) end)", dir .. "some.lua")(core)
      print(pcall(function()
        blame() -- 7
      end))
      print(call(function()
        blame() -- 10
      end))
      print(coroutine.wrap(function() return pcall(function()
        blame() -- 13
      end) end)())
      print(call(function()
        local ok, err = pcall(call, function()
          local _ = core.where() == nil or print(core.where()) -- 17
          blame() -- 18
        end)
        return err
      end))
    ]])
    local lines = {}
    for line in r.out:gmatch("[^\n]+") do
      lines[#lines + 1] = tonumber(line:match(":(%d+): mine") or line:match(":(%d+)$"))
    end
    assert.same({ 7, 10, 13, 17, 18 }, lines, r.out .. r.err)
  end)
end)

describe("Ctrl-C", function()
  local function interrupted(body)
    return program.text(([[
      local core = require("mproc.core")
      local function strike()
        io.popen("kill -INT " .. core.getpid()):close()
        for _ = 1, 1e6 do end
      end
      %s
    ]]):format(body))
  end

  it("is told from errors by its own outcome", function()
    local r = interrupted([[
      local call = core.shield(function(f) return core.outside(f) end)
      print((call(error, "interrupted!")))
      print((call(strike)))
      print((call(error, "interrupted!")))
    ]])
    assert.equal("false\nnil\nfalse\n", r.out, r.err)
  end)

  it("raises once the shielded function has ended", function()
    local r = interrupted([[
      local done
      local f = core.shield(function() strike() done = true end)
      local ok = pcall(function() f() for _ = 1, 1e6 do end end)
      print(ok, done)
    ]])
    assert.equal("false\ttrue\n", r.out, r.err)
  end)
end)
