-- SPDX-License-Identifier: MIT
-- A call of a pool that raised after its job had begun, for a bad progress option or because reading the items raised,
-- left that job pending for ever: join() and the end of the pool's scope hung.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")

local SECONDS = 20

describe("a pool's call that raises", function()
  leaks.watch()

  local function identity(x)
    return x
  end

  -- A list of n items whose item `bad` cannot be read.
  local function list_with_bad(n, bad)
    return setmetatable({}, {
      __len = function() return n end,
      __index = function(_, i)
        if i == bad then
          error({ code = "bad item" })
        end
        return math.type(i) and i or nil
      end,
    })
  end

  local function assert_nothing_pending(pool)
    assert.same({ 1, 2 }, pool:map(identity, { 1, 2 }))
    assert.equal(0, pool:stats().pending)
    local ended = pool:join(SECONDS)
    pool:terminate()
    assert.is_true(ended)
  end

  it("for its options leaves nothing pending", function()
    local pool = mproc.Pool(1)
    for _, verb in ipairs({ "map", "starmap", "each", "filter", "any", "imap", "imap_unordered", "map_async" }) do
      assert.has_error(function() pool[verb](pool, identity, { { 1 } }, { progress = "stars" }) end)
    end
    assert_nothing_pending(pool)
  end)

  it("because an item cannot be read leaves nothing pending", function()
    local pool = mproc.Pool(1)
    for _, verb in ipairs({ "map", "each", "filter", "all" }) do
      for _, bad in ipairs({ 1, 50 }) do
        local ok, err = pcall(pool[verb], pool, identity, list_with_bad(100, bad))
        assert.same({ false, "bad item" }, { ok, err.code }, verb)
      end
    end
    local ok, err = pcall(pool.reduce, pool, identity, list_with_bad(100, 50), math.max)
    assert.same({ false, "bad item" }, { ok, err.code })
    ok, err = pcall(pool.map, pool, math.max, { list_with_bad(100, 50), list_with_bad(100, 0) }, { zip = true })
    assert.same({ false, "bad item" }, { ok, err.code })
    assert.equal("bad item", pool:map_async(identity, list_with_bad(100, 50)):exception(SECONDS).code)
    assert_nothing_pending(pool)
  end)

  it("because an item cannot be read gives the items before it to a loop", function()
    local pool = mproc.Pool(1)
    local seen = {}
    local ok, err = pcall(function()
      for i, v in pool:imap(identity, list_with_bad(100, 50)) do
        seen[i] = v
      end
    end)
    assert.same({ false, "bad item" }, { ok, err.code })
    assert.equal(49, #seen)
    assert_nothing_pending(pool)
  end)
end)
