-- SPDX-License-Identifier: MIT
-- with and guard, of everything that can be held: what they return, and that they let go however a scope is left.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

describe("a scope", function()
  leaks.watch()

  -- What another process finds when it looks at what this one holds.
  local function elsewhere(f)
    return children.results(children.start(f))
  end

  -- make() -> an object of which one can be had; free(object): whether another process could have it.
  local function acquirable(name, ...)
    local args = table.pack(...)
    return {
      make = function() return mproc[name](table.unpack(args)) end,
      free = function(o) return elsewhere(function() return (o:acquire(0)) end) end,
      acquire = "acquire", release = "release", with = "with", guard = "guard",
    }
  end
  local function rwlock(acquire, release, with, guard)
    return {
      make = function() return mproc.RWLock() end,
      free = function(o) return elsewhere(function() return (o:write_acquire(0)) end) end,
      acquire = acquire, release = release, with = with, guard = guard,
    }
  end

  for what, kind in pairs({
    ["a Lock"] = acquirable("Lock"),
    ["an RLock"] = acquirable("RLock"),
    ["a Semaphore"] = {
      make = function() return mproc.Semaphore() end,
      free = function(s) return s:get_value() == 1 end,
      acquire = "acquire", release = "release", with = "with", guard = "guard",
    },
    ["a BoundedSemaphore"] = acquirable("BoundedSemaphore"),
    ["a Condition"] = acquirable("Condition"),
    ["an RWLock"] = rwlock("write_acquire", "write_release", "with", "guard"),
    ["an RWLock, to write"] = rwlock("write_acquire", "write_release", "write_with", "write_guard"),
    ["an RWLock, to read"] = rwlock("read_acquire", "read_release", "read_with", "read_guard"),
  }) do
    describe("of " .. what, function()
      local it_with, it_guard, make, free = kind.with, kind.guard, kind.make, kind.free

      it("returns what the function does", function()
        local o = make()
        local results = table.pack(o[it_with](o, function(...)
          return free(o), ...
        end, 1, nil, 3, nil))
        assert.same({ false, 1, nil, 3, nil, n = 5 }, results)
        assert.is_true(free(o))
      end)

      it("releases on an error and passes it on as it was", function()
        local o, raised = make(), { code = 7 }
        local ok, err = pcall(o[it_with], o, function() error(raised) end)
        assert.is_false(ok)
        assert.equal(raised, err)
        assert.is_true(free(o))
      end)

      it("releases on an error that ends a coroutine", function()
        local o = make()
        local co = coroutine.create(function()
          o[it_with](o, function() error(coroutine.yield(), 0) end)
        end)
        assert.is_true(coroutine.resume(co))
        assert.is_false(free(o))
        assert.same({ false, "oops" }, { coroutine.resume(co, "oops") })
        assert.is_true(free(o))
      end)

      it("refuses what is no function, and takes nothing", function()
        local o = make()
        blame.caller(function() o[it_with](o, 5) end, "function")
        assert.is_true(free(o))
      end)

      it("refuses another self", function()
        local o = make()
        for _, self in ipairs({ {}, 5, mproc.Queue() }) do
          blame.caller(function() o[it_with](self, print) end, "with a colon")
          blame.caller(function() o[it_guard](self) end, "with a colon")
        end
        blame.caller(function() o[it_with](nil, print) end, "with a colon")
      end)

      it("lets the function yield", function()
        local o = make()
        local go_on = coroutine.wrap(function()
          return o[it_with](o, function(...) return coroutine.yield(...) end, 1)
        end)
        assert.equal(1, go_on())
        assert.is_false(free(o))
        assert.equal(2, go_on(2))
        assert.is_true(free(o))
      end)

      it("ends with the coroutine that it is in", function()
        local o = make()
        local co = coroutine.create(function() o[it_with](o, coroutine.yield) end)
        assert.is_true(coroutine.resume(co))
        assert.is_false(free(o))
        assert.is_true(coroutine.close(co))
        assert.is_true(free(o))
      end)

      it("is guarded until it is left, however", function()
        local o = make()
        do
          local _ <close> = o[it_guard](o)
          assert.is_false(free(o))
        end
        assert.is_true(free(o))
        pcall(function()
          local _ <close> = o[it_guard](o)
          error("leaves")
        end)
        assert.is_true(free(o))
        local function leave()
          local _ <close> = o[it_guard](o)
          return free(o)
        end
        assert.is_false((leave()))
        assert.is_true(free(o))
      end)

      it("is guarded until told, once, and says so", function()
        local o = make()
        local guard <close> = o[it_guard](o)
        assert.truthy(tostring(guard):find("Guard", 1, true))
        assert.is_nil(tostring(guard):find("released", 1, true))
        guard:release()
        assert.truthy(tostring(guard):find("released", 1, true))
        assert.is_true(free(o))
        assert.is_true(o[kind.acquire](o))
        guard:release()
        guard:close()
        assert.is_false(free(o))
        o[kind.release](o)
      end)

      fork_it("that a child inherits releases nothing there", function()
        -- a guard is inherited
        local o = make()
        do
          local guard <close> = o[it_guard](o)
          assert.is_true(elsewhere(function()
            do
              local _ <close> = guard
            end
            guard:release()
            return true
          end))
          assert.is_false(free(o))
        end
        assert.is_true(free(o))
      end)

      it("does not travel", function()
        local o, q = make(), mproc.Queue()
        local guard <close> = o[it_guard](o)
        blame.caller(function() q:put(guard) end, "cannot send")
      end)
    end)
  end
end)
