-- SPDX-License-Identifier: MIT
-- An error of a C function that the program has given to mproc's Lua code (a target, an iterator, combine, a predicate)
-- blamed a line of mproc's own.

local mproc = require("mproc")

local function error_of(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return err
end

local function is_clean(err)
  assert.truthy(err:find("bad argument", 1, true), err)
  assert.is_nil(err:match("^[^\n]*"):find("mproc/", 1, true), err)
end

describe("an error of a C function", function()
  it("as an iterator blames nobody of mproc's", function()
    local pool <close> = mproc.Pool(1)
    is_clean(error_of(pool.map, pool, tostring, next, 5))
    is_clean(error_of((pool:imap(tostring, string.rep))))
    local lines = io.lines("Makefile")
    assert.equal("string", type(pool:map(function(line) return line end, lines)[1]))
  end)

  it("as combine", function()
    local pool <close> = mproc.Pool(1)
    is_clean(error_of(pool.reduce, pool, tostring, { 1, 2, 3, 4 }, math.floor, "a", 2))
    assert.equal(4, pool:reduce(math.abs, { 1, 2, 3, -4 }, math.max, 0, 2))
  end)

  it("as a predicate", function()
    local c = mproc.Condition()
    is_clean(error_of(c.with, c, function() return c:wait_for(string.rep) end))
  end)

  it("as a target, or as init", function()
    local quiet = mproc.Process(string.rep)
    is_clean(error_of(quiet.run, quiet))
    local Class = mproc.Process:extend()
    Class.init = string.rep
    is_clean(error_of(Class, {}))
  end)
end)

describe("a call that would wait for an iterator which has called it", function()
  it("raises", function()
    local pool <close> = mproc.Pool(1)
    local n, inner = 0, nil
    local list = pool:map(math.abs, function()
      n = n + 1
      if n == 2 then inner = error_of(pool.join, pool) end
      return n <= 3 and -n or nil
    end)
    assert.same({ 1, 2, 3 }, list)
    assert.truthy(inner:find("would wait for ever", 1, true), inner)
    assert.truthy(inner:find("callee_spec", 1, true), inner)
  end)

  it("has its timeout", function()
    local pool <close> = mproc.Pool(1)
    local n, ok, word = 0, nil, nil
    pool:map(math.abs, function()
      n = n + 1
      if n == 2 then ok, word = pool:join(0.05) end
      return n <= 3 and -n or nil
    end)
    assert.is_false(ok)
    assert.equal("timeout", word)
  end)
end)
