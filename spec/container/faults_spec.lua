-- SPDX-License-Identifier: MIT
-- Containers where memory is short: a full arena, and Lua's allocator failing at each request. A call is done or not.

local failalloc = require("failalloc")
local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

local PAGES = 200
local MOST_REQUESTS = 2000

-- Calls, in the words of a Lua program: what prepares each, and what it returns: the call, and its check.
local CALLS = {
  ["Dict"] = "return mproc.Dict",
  ["List"] = "return mproc.List",
  ["Set"] = "return mproc.Set",
  ["Namespace"] = "return mproc.Namespace",
  ["a Dict's set of a long value"] = [[
    local d = mproc.Dict{ k = 1 }
    local text = ("x"):rep(100000)
    return raising(function() d:set("k", text) end), function(ok)
      assert(d.k == (ok and text or 1))
      d.k = 1
    end]],
  ["a Dict that grows"] = [[
    local d, n = mproc.Dict(), 0
    local text = ("x"):rep(500)
    return raising(function()
      for i = 1, 200 do
        d[i] = text
        n = i
      end
    end), function(ok)
      assert(#d == n and (n == 200) == ok)
      for i = 1, 200 do assert(d[i] == (i <= n and text or nil)) end
      d:clear()
      n = 0
    end]],
  ["a Dict that is split"] = [[
    local d = mproc.Dict()
    for i = 1, 8191 do d[i] = i end
    return raising(function()
      for i = 8192, 8300 do d[i] = i end
    end), function(ok)
      for i = 1, 8191 do assert(d[i] == i) end
      assert((d[8300] == 8300) == ok)
      for i = 8192, 8300 do d[i] = nil end
      assert(#d == 8191)
    end]],
  ["a Dict's set of a table of objects"] = [[
    local d, q = mproc.Dict(), mproc.Queue()
    local text = ("x"):rep(50000)
    return raising(function() d.k = { q, text } end), function(ok)
      assert(d:has("k") == ok)
      d.k = nil
    end]],
  ["a List's extend"] = [[
    local l, t = mproc.List{ 0 }, {}
    for i = 1, 2000 do t[i] = { i } end
    return raising(function() l:extend(t) end), function(ok)
      assert(#l == (ok and 2001 or 1))
      l:clear()
      l:append(0)
    end]],
  ["a List's insert"] = [[
    local l, t = mproc.List(), {}
    for i = 1, 2000 do t[i] = i end
    l:extend(t)
    return raising(function() l:insert(5, "five") end), function(ok)
      assert(l[5] == (ok and "five" or 5))
      if ok then l:remove(5) end
      assert(#l == 2000 and l[2000] == 2000)
    end]],
  ["a List's sort"] = [[
    local l, t = mproc.List(), {}
    for i = 1, 2000 do t[i] = 2001 - i end
    l:extend(t)
    return raising(function() l:sort() end), function(ok)
      assert(l[1] == (ok and 1 or 2000) and #l == 2000)
      l:clear()
      l:extend(t)
    end]],
}

-- Its entries have room where they are: they are just not divided.
local NEEDS_NONE = { ["a Dict that is split"] = true }

describe("in a full arena", function()
  for name, prepare in pairs(CALLS) do
    it(name .. " fails as a whole or not at all, and works again", function()
      local r = program.text(([[
        local mproc = require("mproc")
        -- A call that raises where the arena is full.
        local function raising(f) -- luacheck: ignore
          return function()
            local ok, err = pcall(f)
            if ok then return true end
            assert(tostring(err):find("the arena has no room", 1, true), err)
            return nil, "MPROC_ARENA", "ENOMEM"
          end
        end
        require("spec.support.full_arena").try(function() %s end, %d, 1)
      ]]):format(prepare, PAGES), { seconds = 60, env = "MPROC_ARENA=16M LUA_PATH='./?.lua;'\"$LUA_PATH\"" })
      assert.is_false(r.timed_out)
      assert.equal(NEEDS_NONE[name] and "ok\n" or "full, ok\n", r.out, r.err)
      assert.equal(0, r.code, r.err)
    end)
  end
end)

local function out_of_memory(err)
  return tostring(err):find("not enough memory", 1, true) ~= nil
end

describe("with failing allocations", function()
  local mproc, core
  setup(function()
    mproc, core = require("mproc"), require("mproc.core")
  end)
  leaks.watch()

  local function at_every_request(f, check)
    for n = 1, MOST_REQUESTS do
      collectgarbage()
      local result = table.pack(failalloc.once(n, f))
      check(table.unpack(result, 2, result.n))
      assert.equal(0, core.scratch_used())
      if not result[1] then
        assert.is_true(n > 1)
        return
      end
    end
    error("it never stopped asking for memory")
  end

  it("each call of a Dict is done or not, and lets go of what it held", function()
    local long, q = ("x"):rep(40000), mproc.Queue()
    local d, objects = mproc.Dict(), nil
    local calls = {
      function() d.k = { 1, q, long } end,
      function() return d.k end,
      function() return d:update("k", function(t) return { t[1] + 1, q, long } end) end,
      function() return d:exchange("k", { 1, q }) end,
      function() return d:totable(), d:keys(), d:values() end,
      function() return pairs(d)() end,
      function() return d:compare_exchange("n", nil, q), d:compare_exchange("n", q, nil) end,
      function() return d:setdefault("s", { q }), d:pop("s") end,
      function() d:set_many{ a = 1, b = { q }, c = long } end,
    }
    for i, call in ipairs(calls) do
      d.k, d.n, d.s = { 1, q, long }, nil, nil
      at_every_request(function() return call() end, function(ok, err)
        assert.truthy(ok or out_of_memory(err), err)
        d.k, d.n, d.s = { 1, q, long }, nil, nil
        d.a, d.b, d.c = nil, nil, nil
        collectgarbage()
        objects = objects or core.stats().objects
        assert.equal(objects, core.stats().objects, i)
        assert.equal(q, d.k[2])
      end)
    end
  end)

  it("each call of a List is done or not", function()
    local q = mproc.Queue()
    local l = mproc.List{ { 1, q }, 2, 3 }
    local calls = {
      function() l:append{ q } return l:pop() end,
      function() l:extend{ { q }, 1, {} } end,
      function() return l:totable(), l:sub(1, 2), l:index(2) end,
      function() l:sort(function(a, b) return tostring(a) < tostring(b) end) end,
      function() l:insert(2, { q }) return l:remove(2) end,
      function() return l:update(1, function(t) return t end), l[1] end,
    }
    for _, call in ipairs(calls) do
      at_every_request(function() return call() end, function(ok, err)
        assert.truthy(ok or out_of_memory(err), err)
        local n = #l
        assert.truthy(n >= 3 and n <= 6)
        l:clear()
        l:extend{ { 1, q }, 2, 3 }
      end)
    end
  end)
end)
