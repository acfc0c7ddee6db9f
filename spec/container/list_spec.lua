-- SPDX-License-Identifier: MIT
-- mproc.List: items by index, at the ends, in the middle, all of them; mistakes.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")

local LONG = ("0123456789"):rep(10000)

describe("a list", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  it("has items by index", function()
    local l = mproc.List{ "a", 2, { 3 }, n = 3 }
    assert.equal(3, #l)
    assert.equal("a", l[1])
    assert.equal(2, l[2.0])
    assert.same({ 3 }, l[3])
    assert.is_nil(l[0])
    assert.is_nil(l[4])
    assert.is_nil(l[-1])
    assert.is_nil(l[1.5])
    l[2], l[1] = "b", LONG
    assert.same({ LONG, "b", { 3 } }, l:totable())
    assert.truthy(tostring(l):find("^List %d+: 3 items$"))
  end)

  it("has every kind of value", function()
    local q = mproc.Queue()
    local values = { 0, -1.5, true, false, "", LONG, { LONG, q }, q, mproc.List{ 1 }, mproc.Dict{ a = 1 } }
    local l = mproc.List(values)
    assert.same(values, l:totable())
    for i, v in ipairs(l) do
      assert.same(values[i], v)
    end
    l:extend(values)
    assert.equal(20, #l)
    assert.equal(1, l[19][1])
    collectgarbage()
    assert.equal(1, l[20].a)
  end)

  it("is used by Lua's own functions", function()
    local l = mproc.List{ 3, 1, 2 }
    assert.equal("3,1,2", table.concat(l, ","))
    assert.same({ 3, 1, 2 }, { table.unpack(l) })
    local sum = 0
    for _, v in ipairs(l) do
      sum = sum + v
    end
    for i, v in pairs(l) do
      sum = sum + i * v
    end
    assert.equal(6 + 3 + 2 + 6, sum)
  end)

  it("grows and shrinks at both ends", function()
    local l = mproc.List()
    for i = 1, 5000 do
      l:append(i)
    end
    for i = 1, 2000 do
      assert.equal(i, l:shift())
      assert.equal(5001 - i, l:pop())
    end
    assert.equal(1000, #l)
    assert.equal(2001, l[1])
    assert.equal(3000, l[1000])
    for _ = 1, 1000 do
      l:pop()
    end
    assert.is_nil(l:pop())
    assert.is_nil(l:shift())
    blame.call("pop takes no argument", function() l:pop(1) end)
    blame.call("shift takes no argument", function() l:shift(1) end)
    assert.is_nil(l:remove())
    l:append("again")
    assert.same({ "again" }, l:totable())
  end)

  it("serves as a stack and as a row, whatever it holds", function()
    local l = mproc.List()
    for round = 1, 300 do
      l:append({ round, mproc.Value("integer", round) })
      if round % 3 == 0 then
        assert.equal(round, l:pop()[2].value)
      end
    end
    for round = 1, 100 do
      assert.equal(round + (round - 1) // 2, l:shift()[1])
    end
    l:clear()
    assert.equal(0, #l)
  end)

  it("takes items in and out between others", function()
    local l, t = mproc.List(), {}
    for i = 1, 60 do
      local at = (i * 7) % (#t + 1) + 1
      local v = i % 4 == 0 and { i } or i % 5 == 0 and mproc.Queue() or i
      l:insert(at, v)
      table.insert(t, at, v)
    end
    assert.same(t, l:totable())
    while #t > 0 do
      local at = #t * 5 % #t + 1 + (#t > 2 and 1 or 0)
      assert.same(table.remove(t, at), l:remove(at))
      assert.same(t, l:totable())
    end
  end)

  it("gives parts", function()
    local l = mproc.List{ 1, 2, 3, 4, 5 }
    assert.same({ 2, 3 }, l:sub(2, 3))
    assert.same({ 4, 5 }, l:sub(-2))
    assert.same({}, l:sub(4, 3))
    assert.same({ 1, 2, 3, 4, 5 }, l:sub())
    assert.same({ 5 }, l:sub(5, 100))
  end)

  it("finds items", function()
    local q = mproc.Queue()
    local l = mproc.List{ "a", 1, q, "a", LONG }
    assert.equal(1, l:index("a"))
    assert.equal(2, l:index(1.0))
    assert.equal(3, l:index(q))
    assert.equal(5, l:index(LONG))
    assert.is_nil(l:index("b"))
  end)

  it("is sorted, keeping the order of equals", function()
    local l, t = mproc.List(), {}
    for i = 1, 500 do
      t[i] = i * 7919 % 501
    end
    l:extend(t)
    l:sort()
    table.sort(t)
    assert.same(t, l:totable())
    l:sort(function(a, b) return a > b end)
    assert.equal(t[500], l[1])
    local pairs_ = mproc.List{ { 1, "a" }, { 0, "b" }, { 1, "c" }, { 0, "d" } }
    pairs_:sort(function(a, b) return a[1] < b[1] end)
    assert.same({ { 0, "b" }, { 0, "d" }, { 1, "a" }, { 1, "c" } }, pairs_:totable())
    mproc.List():sort()
  end)

  it("is sorted again when it has changed meanwhile", function()
    local l, changed = mproc.List{ 3, 2, 1 }, false
    l:sort(function(a, b)
      if not changed then
        changed = true
        l:append(0)
        l[1] = 9
      end
      return a < b
    end)
    assert.same({ 0, 1, 2, 9 }, l:totable())
  end)

  it("stays as it is when the order raises", function()
    local l = mproc.List{ 2, "x", 1 }
    assert.has_error(function() l:sort() end)
    assert.same({ 2, "x", 1 }, l:totable())
  end)

  it("adds to numbers, and updates items", function()
    local l = mproc.List{ 1, 0.5, { n = 0 } }
    assert.equal(3, l:add(1, 2))
    assert.equal(2.5, l:add(2, 2))
    assert.equal(3.5, l:add(1, 0.5))
    assert.same({ n = 1 }, l:update(3, function(t)
      t.n = t.n + 1
      return t
    end))
    local calls = 0
    l:update(1, function(v)
      calls = calls + 1
      if calls == 1 then
        l[1] = 10
      end
      return v + 1
    end)
    assert.equal(11, l[1])
  end)

  it("does what many processes do at once, each once", function()
    local l, taken, EACH = mproc.List{ 0 }, mproc.Value("integer"), 1000
    children.four(function(id)
      for i = 1, EACH do
        l:append({ id, i })
        l:add(1, 1)
        if i % 4 == 0 then
          local item = l:remove(2)
          taken:add(item and 1 or 0)
        end
      end
      l:extend{ "end", id }
    end)
    assert.equal(4 * EACH, l[1])
    assert.equal(4 * EACH - taken.value + 1 + 8, #l)
    local last = {}
    for _, v in ipairs(l:totable()) do
      if type(v) == "table" then
        assert.is_true(v[2] > (last[v[1]] or 0))
        last[v[1]] = v[2]
      end
    end
  end)

  it("gives each item to one of many that pop and shift", function()
    local l, sums = mproc.List(), mproc.Dict()
    local t, N = {}, 3000
    for i = 1, N do
      t[i] = i
    end
    l:extend(t)
    children.four(function(id)
      local sum = 0
      repeat
        local v = id % 2 == 0 and l:pop() or l:shift()
        sum = sum + (v or 0)
      until not v
      sums[id] = sum
    end)
    assert.equal(N * (N + 1) // 2, sums[1] + sums[2] + sums[3] + sums[4])
  end)

  it("travels, and is locked by those who ask", function()
    local l = mproc.List{ 1 }
    children.finish(children.start(function(inner)
      inner:with(function() inner[1] = inner[1] + 1 end)
    end, l))
    assert.equal(2, l[1])
    assert.is_false(l:lock():locked())
  end)

  it("says what is wrong", function()
    local l = mproc.List{ 1, 2 }
    blame.caller(function() l[3] = 1 end, "1 to 2", "append")
    blame.caller(function() l[0] = 1 end, "1 to 2")
    blame.caller(function() l[1] = nil end, "no holes", "remove")
    blame.caller(function() l.name = 1 end, "by index alone")
    blame.caller(function() l:append(nil) end, "nil")
    blame.caller(function() l:insert(4, 1) end, "one more")
    blame.caller(function() l:remove(3) end, "1 to 2")
    blame.caller(function() l:extend{ 1, nil, 3, n = 3 } end, "list[2]")
    blame.caller(function() l:extend{ 1, { io.stdout } } end, "list[2][1]")
    blame.caller(function() l:extend(1) end, "list must be a table")
    blame.caller(function() l:add(1, "x") end, "n must be a number")
    blame.caller(function() l:add(3, 1) end, "1 to 2")
    blame.caller(function() mproc.List{ {} }:add(1, 1) end, "a table")
    blame.caller(function() l:index({}) end, "copy")
    blame.caller(function() l:sort(1) end, "cmp")
    blame.caller(function() l:update(1, nil) end, "f must be a function")
    blame.caller(function() l:update(5, print) end, "1 to 2")
    blame.caller(function() l:update(1, function() return nil end) end, "nil")
    blame.caller(function() mproc.List(1) end, "takes a table")
    assert.same({ 1, 2 }, l:totable())
    l:close()
    blame.caller(function() return l[1] end, "closed")
    l:close()
  end)
end)
