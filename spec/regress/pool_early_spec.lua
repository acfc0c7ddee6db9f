-- SPDX-License-Identifier: MIT
-- A finalizer, or a decode hook, that used the pool while a single task of it was being sent, or its result awaited,
-- threw away what came of that task; so its caller waited for ever.

local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

describe("a pool that is used in between", function()
  leaks.watch()

  -- The results that a given-up stream has left run their hook in the next call.
  it("by a decode hook: apply still gets its result", function()
    local result = program.text([[
      local mproc = require("mproc")
      local T, pool, nested = {}, nil, nil
      local function identity(...) return ... end
      local begun, may_end = mproc.Event(), mproc.Event()
      local function hold(v)
        if v.v > 1 then
          begun:set()
          may_end:wait()
        end
        return v
      end
      T.__mproc_encode = function(t) return { v = t.v } end
      mproc.register("T", T, { decode = function(v)
        if nested == false then
          nested = pool:apply(identity, { "nested" })
        end
        return setmetatable({ v = v.v }, T)
      end })
      pool = mproc.Pool(2)
      for i = 1, 5 do
        pool:apply(identity, { i })
      end
      for _ in pool:imap(hold, { setmetatable({ v = 1 }, T), setmetatable({ v = 2 }, T) }, 1) do
        begun:wait()
        break
      end
      may_end:set()
      local state = pool[require("mproc.pool.record").STATE]
      while state.results:empty() do
        mproc.sleep(0.001)
      end
      nested = false
      print(pool:apply(identity, { "outer" }), nested)
      for i = 1, 100 do
        assert(pool:apply(identity, { i }) == i)
      end
      print(pool:stats().pending, pool:join(10))
    ]], { seconds = 15 })
    assert.same({ "outer\tnested\n0\ttrue\n", "" }, { result.out, result.err })
  end)

  for name, call in pairs({
    ["apply, called with tables,"] = "pool:apply(identity, { { i } })[1]",
    ["apply of a function with upvalues"] = "pool:apply(with_upvalue, { { i } })[1]",
    submit = "(pool:submit(identity, i):get(10))",
  }) do
    it("by a finalizer: " .. name .. " still gets its result", function()
      local result = program.text([[
        local mproc = require("mproc")
        local pool = mproc.Pool(2)
        local select = select
        local function identity(...) return ... end
        local function with_upvalue(...) return (select(1, ...)) end
        for i = 1, 5 do
          pool:apply(identity, { i })
          pool:apply(with_upvalue, { i })
        end
        local count, busy, over = 0, false, false
        local function make()
          setmetatable({}, { __gc = function()
            if over then
              return
            elseif not busy then
              busy, count = true, count + 1
              assert(pool:apply(identity, { -count }) == -count)
              busy = false
            end
            make()
          end })
        end
        require("spec.support.collector").eager()
        for _ = 1, 10 do
          make()
        end
        local i = 0
        repeat
          i = i + 1
          assert(i == ]] .. call .. [[)
        until count > 1000
        over = true
        print(pool:stats().pending, pool:join(10))
      ]], { seconds = 30 })
      assert.same({ "0\ttrue\n", "" }, { result.out, result.err })
    end)
  end
end)
