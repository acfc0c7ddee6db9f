-- SPDX-License-Identifier: MIT
-- mproc.Dict: keys and values of every kind, single operations, copies of all, mistakes.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")

local LONG = ("0123456789"):rep(10000)

describe("a dict", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  local start, finish = children.start, children.finish

  describe("keeps", function()
    it("what it is made of", function()
      local d = mproc.Dict{ hits = 0, user = "bob" }
      assert.equal(0, d.hits)
      assert.equal("bob", d.user)
      assert.equal(2, #d)
      assert.is_nil(d.other)
      assert.same({ hits = 0, user = "bob" }, d:totable())
    end)

    it("every kind of key", function()
      local d, q = mproc.Dict(), mproc.Queue()
      local keys = { "", "key", ("k"):rep(32768), "a\0b", 0, -1, math.maxinteger, 2.5, -1e300, 1 / 0, true, false, q,
        mproc.Value("integer"), mproc.Dict() }
      for i, k in ipairs(keys) do
        d[k] = i
      end
      for i, k in ipairs(keys) do
        assert.equal(i, d:get(k))
        assert.is_true(d:has(k))
      end
      assert.equal(#keys, #d)
      local t = d:totable()
      assert.equal(1, t[""])
      assert.equal(11, t[true])
      d[2.0] = "two"
      assert.equal("two", d[2])
      d[-0.0] = "nought"
      assert.equal("nought", d[0])
    end)

    it("every kind of value", function()
      local d, q = mproc.Dict(), mproc.Queue()
      local values = { 0, -1, math.mininteger, 1.5, -0.0, 1 / 0, true, false, "", "text", ("x"):rep(300),
        ("x"):rep(32767), ("x"):rep(32768), LONG, {}, { 1, 2, { a = true } }, { LONG, LONG }, q, { q, q, LONG },
        mproc.Dict(), function() return 7 end }
      for i, v in ipairs(values) do
        d[i] = v
      end
      for i, v in ipairs(values) do
        if type(v) == "function" then
          assert.equal(7, d[i]())
        else
          assert.same(v, d[i])
        end
      end
      assert.equal("float", math.type(d[4]))
      assert.equal("-inf", tostring(1 / d[5]))
      assert.equal(q, d[19][2])
      local nan = 0 / 0
      d.nan = nan
      assert.is_true(d.nan ~= d.nan)
    end)

    it("nothing under a key that was set to nil", function()
      local d = mproc.Dict{ a = 1, b = {} }
      d.a = nil
      d:set("b", nil)
      d.never = nil
      assert.equal(0, #d)
      assert.is_nil(d.a)
      assert.equal("none", d:get("b", "none"))
    end)

    it("false, which is not absence", function()
      local d = mproc.Dict{ off = false }
      assert.equal(false, d:get("off", "default"))
      assert.equal(false, d:setdefault("off", 1))
      assert.is_true(d:has("off"))
    end)

    it("a copy of a table, not the table", function()
      local d, t = mproc.Dict(), { n = 1 }
      d.t = t
      t.n = 2
      d.t.n = 3
      assert.equal(1, d.t.n)
    end)

    it("containers in containers", function()
      local d = mproc.Dict{ inner = mproc.Dict{ n = 1 } }
      finish(start(function(inner) inner.n = 5 end, d.inner))
      assert.equal(5, d.inner.n)
      d.inner.more = { mproc.Dict{ x = "deep" } }
      collectgarbage()
      assert.equal("deep", d.inner.more[1].x)
      assert.equal(d.inner, d.inner)
    end)

    it("objects alive, as values and as keys", function()
      local d = mproc.Dict()
      d.q = mproc.Queue()
      d.q:put("kept")
      d[mproc.Value("integer", 5)] = true
      collectgarbage()
      assert.equal("kept", d.q:get())
      assert.equal(5, d:keys()[1] ~= "q" and d:keys()[1].value or d:keys()[2].value)
    end)
  end)

  describe("in one step", function()
    it("adds, as Lua adds", function()
      local d = mproc.Dict{ n = 1, x = 0.5, top = math.maxinteger }
      assert.equal(3, d:add("n", 2))
      assert.equal("integer", math.type(d.n))
      assert.equal(3.5, d:add("n", 0.5))
      assert.equal("float", math.type(d.n))
      assert.equal(2.5, d:add("x", 2))
      assert.equal(math.mininteger, d:add("top", 1))
      assert.equal(7, d:add("new", 7))
      assert.equal(101, d:add("from", 1, 100))
    end)

    it("sets what is absent alone", function()
      local d = mproc.Dict()
      assert.equal(1, d:setdefault("k", 1))
      assert.equal(1, d:setdefault("k", 2))
      assert.same({ 3 }, d:setdefault("t", { 3 }))
    end)

    it("exchanges and pops", function()
      local d = mproc.Dict{ k = "old" }
      assert.equal("old", d:exchange("k", { 1 }))
      assert.same({ 1 }, d:exchange("k", LONG))
      assert.equal(LONG, d:exchange("k", nil))
      assert.is_nil(d:exchange("k", 2))
      assert.equal(2, d:pop("k"))
      assert.is_nil(d:pop("k"))
      assert.equal("none", d:pop("k", "none"))
      d.q = mproc.Queue()
      d:pop("q"):put(1)
    end)

    it("compares and exchanges", function()
      local d, q = mproc.Dict(), mproc.Queue()
      assert.same({ true }, { d:compare_exchange("k", nil, 1) })
      assert.same({ false, 1 }, { d:compare_exchange("k", nil, 2) })
      assert.same({ false, 1 }, { d:compare_exchange("k", 2, 3) })
      assert.same({ true, 1 }, { d:compare_exchange("k", 1.0, "text") })
      assert.same({ true, "text" }, { d:compare_exchange("k", "text", LONG) })
      assert.is_false((d:compare_exchange("k", LONG .. "1", 1)))
      assert.is_true((d:compare_exchange("k", LONG, q)))
      assert.is_false((d:compare_exchange("k", mproc.Queue(), 1)))
      assert.is_true((d:compare_exchange("k", q, nil)))
      assert.is_false(d:has("k"))
    end)

    it("updates by a function", function()
      local d = mproc.Dict()
      assert.equal(1, d:update("n", function(n) return (n or 0) + 1 end))
      d.t = { count = 0 }
      d:update("t", function(t)
        t.count = t.count + 1
        return t
      end)
      assert.same({ count = 1 }, d.t)
      assert.is_nil(d:update("t", function() return nil end))
      assert.is_false(d:has("t"))
      d.big = LONG
      assert.equal(LONG .. "!", d:update("big", function(s) return s .. "!" end))
    end)

    it("updates again when the value has changed meanwhile", function()
      local d, calls = mproc.Dict{ k = 1, same = { 1 } }, 0
      assert.equal(11, d:update("k", function(v)
        calls = calls + 1
        if calls == 1 then
          d.k = 10
        end
        return v + 1
      end))
      assert.equal(2, calls)
      calls = 0
      d:update("same", function(t) -- other keys' changes, which move everything, are none of its
        calls = calls + 1
        for i = 1, 2000 do
          d[i] = LONG:sub(1, 50)
        end
        return t
      end)
      assert.equal(1, calls)
    end)

    it("updates in a coroutine, which may yield", function()
      local d = mproc.Dict{ k = 1 }
      local update = coroutine.wrap(function()
        return d:update("k", function(v) return v + coroutine.yield(v) end)
      end)
      assert.equal(1, update())
      assert.equal(6, update(5))
      assert.equal(6, d.k)
    end)

    it("changes nothing when the function raises", function()
      local d = mproc.Dict{ k = 1 }
      local ok, err = pcall(d.update, d, "k", function() error("no", 0) end)
      assert.same({ false, "no" }, { ok, err })
      assert.equal(1, d.k)
    end)

    it("does what many processes do at once, each once", function()
      local d, EACH = mproc.Dict{ best = 0 }, 2000
      children.four(function(id)
        for i = 1, EACH do
          d:add("hits", 1)
          d:update("twice", function(n) return (n or 0) + 2 end)
          d:set(id * EACH + i, { id, i })
          if d:compare_exchange("turn", nil, id) then
            assert(d:pop("turn") == id)
            d:add("turns", 1)
          end
        end
      end)
      assert.equal(4 * EACH, d.hits)
      assert.equal(8 * EACH, d.twice)
      assert.is_true(d.turns > 0)
      for id = 1, 4 do
        for i = 1, EACH do
          assert.same({ id, i }, d[id * EACH + i])
        end
      end
    end)
  end)

  describe("as a whole", function()
    local function filled(n)
      local d = mproc.Dict()
      for i = 1, n do
        d[i] = i % 3 == 0 and { i } or i
      end
      return d
    end

    it("is walked, each key once, while it changes", function()
      local d, seen = filled(20000), {}
      for k, v in pairs(d) do
        if type(k) == "number" then
          assert.is_nil(seen[k])
          seen[k] = type(v) == "table" and v[1] or v
          assert.equal(k, seen[k])
          d["x" .. k] = k
          d[k] = nil
        end
      end
      assert.equal(20000, #seen)
      assert.equal(20000, #d)
      assert.equal(256, d:stats().stripes)
    end)

    it("is walked through objects that go meanwhile", function()
      local d = mproc.Dict()
      for i = 1, 20 do
        d[i] = mproc.Queue()
      end
      local n = 0
      for k in pairs(d) do
        n = n + 1
        for i = 1, 20 do
          d[i] = i ~= k and d:has(i) and (i % 2 == 0 and mproc.Queue() or nil) or nil
        end
      end
      assert.is_true(n >= 1 and n <= 20)
    end)

    it("gives its keys, values and a copy", function()
      local d = filled(3000)
      local keys, values, t = d:keys(), d:values(), d:totable()
      assert.equal(3000, #keys)
      assert.equal(3000, #values)
      table.sort(keys)
      assert.equal(3000, keys[3000])
      assert.same({ 3 }, t[3])
      assert.equal(3000, #t)
    end)

    it("is filled by set_many, and cleared", function()
      local d = mproc.Dict{ q = mproc.Queue(), long = LONG }
      d:set_many{ a = 1, b = { 2 } }
      assert.equal(4, #d)
      d:clear()
      assert.equal(0, #d)
      assert.same({}, d:totable())
    end)

    it("gives its memory back when it is drained", function()
      local d = filled(20000)
      assert.is_true(d:stats().bytes > 500000)
      for i = 1, 20000 do
        d[i] = nil
      end
      assert.is_true(d:stats().bytes < 50000)
      assert.is_true(mproc.Dict():stats().bytes <= 8192)
    end)

    it("is locked by those who ask for it", function()
      local d = mproc.Dict{ a = 5, b = 0 }
      local lock = d:lock()
      assert.is_true(lock:acquire())
      finish(start(function()
        assert(not d:lock():acquire(0))
        d.a = 6
      end))
      lock:release()
      assert.equal("done", d:with(function(x)
        d.a, d.b = d.a - 1, d.b + 1
        return x
      end, "done"))
      assert.has_error(function() d:with(error, "out", 0) end, "out")
      assert.is_false(lock:locked())
    end)

    it("tells what it is", function()
      assert.truthy(tostring(mproc.Dict{ a = 1 }):find("^Dict %d+: 1 entries$"))
    end)
  end)

  describe("that is bounded", function()
    it("keeps to a number of entries, and what was read", function()
      local d = mproc.Dict(nil, { max_entries = 100 })
      for i = 1, 1000 do
        d[i] = i
        assert.equal(1, d[1])
        assert.is_true(#d <= 100)
      end
      assert.equal(1000, d[1000])
      assert.is_nil(d[500])
      assert.equal(1000 - #d, d:stats().evictions)
    end)

    it("keeps to a number of bytes", function()
      local d = mproc.Dict(nil, { max_bytes = 100000 })
      for i = 1, 1000 do
        d[i] = ("x"):rep(1000)
      end
      assert.is_true(#d > 50 and #d < 100)
      blame.caller(function() mproc.Dict(nil, { max_bytes = 100 }).k = ("x"):rep(200) end, "max_bytes")
    end)

    it("counts the bytes of long values, too", function()
      local d, long = mproc.Dict(nil, { max_bytes = 1000000 }), ("x"):rep(50000)
      for i = 1, 100 do
        d[i] = i % 2 == 0 and long or { long }
        assert.equal(long, i % 2 == 0 and d[i] or d[i][1])
        assert.is_true(#d <= 19)
      end
      assert.is_true(#d >= 13)
      d.small = ("x"):rep(999000)
      assert.same({ "small" }, d:keys())
      blame.caller(function() d.k = ("x"):rep(1000001) end, "max_bytes")
      d.small = nil
      for i = 1, 19 do
        d[i] = long
      end
      assert.equal(19, #d)
      d:clear()
      for i = 1, 19 do
        d[i] = long
      end
      assert.equal(19, #d)
    end)

    it("keeps to both bounds when it is kept in parts", function()
      local long = ("x"):rep(200000)
      local d = mproc.Dict(nil, { max_bytes = 80000000, max_entries = 20000 })
      for i = 1, 9000 do
        d[i] = i
      end
      assert.equal(256, d:stats().stripes)
      for i = 1, 2000 do
        d["x" .. i] = long
        assert.equal(long, d["x" .. i])
      end
      local n = 0
      for k in pairs(d) do
        n = n + (math.type(k) and 0 or 1)
      end
      assert.is_true(n > 150 and n * 200000 <= 80000000)
      blame.caller(function() d.k = ("x"):rep(80000001) end, "max_bytes")
    end)

    it("forgets after a time", function()
      local d = mproc.Dict(nil, { ttl = 0.05 })
      d.k, d.n = 1, 1
      d:set("later", 1, 100)
      assert.equal(1, d.k)
      d:add("n", 1)
      mproc.sleep(0.1)
      assert.is_nil(d.k)
      assert.is_false(d:has("n"))
      assert.same({ later = 1 }, d:totable())
      assert.same({ "later" }, d:keys())
      assert.equal(5, d:add("n", 5))
      assert.is_true((d:compare_exchange("k", nil, 2)))
      local plain = mproc.Dict()
      plain:set("k", 1, 0.02)
      mproc.sleep(0.05)
      assert.equal("gone", plain:get("k", "gone"))
    end)
  end)

  describe("that is misused", function()
    it("says what cannot be a key", function()
      local d = mproc.Dict()
      blame.caller(function() d[{}] = 1 end, "a table cannot be a key")
      blame.caller(function() d[print] = 1 end, "a function cannot be a key")
      blame.caller(function() d[nil] = 1 end, "nil")
      blame.caller(function() d[0 / 0] = 1 end, "NaN")
      blame.caller(function() d[io.stdout] = 1 end, "mproc object")
      blame.caller(function() d[("k"):rep(32769)] = 1 end, "32768")
      blame.caller(function() return d:get() end, "nil")
      assert.is_nil(d[nil])
      assert.equal(0, #d)
    end)

    it("says what cannot be a value", function()
      local d = mproc.Dict{ k = 1 }
      blame.caller(function() d.k = io.stdout end, "cannot send value")
      blame.caller(function() d:set_many{ a = 1, b = { io.stdout } } end, "cannot send value[1]")
      blame.caller(function() d:setdefault("k", nil) end, "nil")
      assert.same({ k = 1 }, d:totable())
    end)

    it("refuses to lose what is assigned to a method's name", function()
      local d = mproc.Dict()
      blame.caller(function() d.get = 1 end, "d:set(\"get\"")
      d:set("get", 1)
      assert.equal(1, d:get("get"))
      assert.is_function(d.get)
    end)

    it("says where there is no number", function()
      local d = mproc.Dict{ s = "x", t = {}, b = true }
      blame.caller(function() d:add("s", 1) end, "a string")
      blame.caller(function() d:add("t", 1) end, "a table")
      blame.caller(function() d:add("b", 1) end, "a boolean")
      blame.caller(function() d:add("n", "1") end, "n must be a number")
      blame.caller(function() d:add("n", 1, "0") end, "initial must be a number")
      assert.equal(3, #d)
    end)

    it("says what compare_exchange and update need", function()
      local d = mproc.Dict()
      blame.caller(function() d:compare_exchange("k", {}, 1) end, "table")
      blame.caller(function() d:update("k", 1) end, "f must be a function")
    end)

    it("says what it is made of", function()
      blame.caller(function() mproc.Dict(5) end, "takes a table")
      blame.caller(function() mproc.Dict(mproc.Queue()) end, "Namespace")
      blame.caller(function() mproc.Dict({}, { max = 1 }) end, "max_bytes")
      blame.caller(function() mproc.Dict({}, { ttl = -1 }) end, "ttl")
      blame.caller(function() mproc.Dict():set("k", 1, "soon") end, "ttl")
    end)

    it("ends by close and with its scope", function()
      local d = mproc.Dict()
      do
        local scoped <close> = d
        scoped.k = 1
      end
      blame.caller(function() return d.k end, "closed")
      blame.caller(function() d.k = 1 end, "closed")
      blame.caller(function() return #d end, "closed")
      d:close()
      assert.equal("a closed container", tostring(d))
    end)

    it("notices that a hook has closed it", function()
      local d = mproc.Dict()
      local mt = { __mproc_encode = function()
        d:close()
        return 1
      end }
      mproc.register("spec.dict.closer", mt)
      assert.error_matches(function() d.k = setmetatable({}, mt) end, "closed while")
    end)

    it("cannot be waited for", function()
      for _, container in ipairs{ mproc.Dict(), mproc.List(), mproc.Set(), mproc.Namespace(),
        mproc.Dict(mproc.Namespace()) } do
        assert.error_matches(function() mproc.wait({ container }, 0) end, "cannot be waited for, its")
      end
    end)
  end)
end)
