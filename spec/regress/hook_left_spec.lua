-- SPDX-License-Identifier: MIT
-- A debug hook that a process's target, or a function of at_exit, has set raised in mproc's own code behind it: the
-- results were lost. And an error object that a hook raised, while the results were sent, came as a text.

local mproc = require("mproc")

local function leave_hook()
  debug.sethook(function() error("a hook that was left", 0) end, "", 50)
end

describe("a process", function()
  it("whose target leaves a hook has its results", function()
    local p <close> = mproc.Process(function()
      leave_hook()
      return 42
    end):start()
    assert.equal(42, p:result(10))
    p:join()
    assert.equal(0, p.exitcode)
  end)

  it("whose function of at_exit leaves a hook ends in order", function()
    local p <close> = mproc.Process(function()
      mproc.at_exit(leave_hook)
      return 42
    end):start()
    assert.equal(42, p:result(10))
    p:join()
    assert.equal(0, p.exitcode)
  end)

  it("raises what a hook of the codec raised, as it was", function()
    local Class = { __mproc_encode = function() error({ code = 7 }) end }
    mproc.register("regress.Result", Class)
    local p <close> = mproc.Process(function() return setmetatable({}, Class) end):start()
    local ok, err = pcall(p.result, p, 10)
    assert.is_false(ok)
    assert.equal(7, err.code)
  end)
end)

describe("a pool's worker", function()
  it("is not disturbed by a hook that a codec's hook leaves", function()
    local Class = { __mproc_encode = function(o) return { o.n } end }
    local here = mproc.getpid()
    mproc.register("regress.Hooking", Class, { decode = function(plain)
      if mproc.getpid() ~= here then leave_hook() end
      return plain[1]
    end })
    local pool <close> = mproc.Pool(1)
    for i = 1, 3 do
      assert.equal(i + 1, pool:apply(function(n) return n + 1 end, { setmetatable({ n = i }, Class) }))
    end
    assert.equal(1, #pool:workers())
  end)
end)
