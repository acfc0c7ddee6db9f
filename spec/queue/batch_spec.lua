-- SPDX-License-Identifier: MIT
-- Several messages at once: put_many, get_many and items(n).

local blame = require("spec.support.blame")
local leaks = require("spec.support.leaks")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

local LARGE = ("large"):rep(10000)

local function numbers(first, last)
  local list = {}
  for i = first, last do
    list[#list + 1] = i
  end
  return list
end

describe("a batch", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  local function drain(q)
    local all = {}
    repeat
      local list = q:get_many(1000, 0)
      table.move(list or {}, 1, list and list.n or 0, #all + 1, all)
    until not list
    return all
  end

  describe("of all kinds", function()
    it("comes in its order", function()
      local q <close> = mproc.Queue()
      local inner <close> = mproc.Queue()
      inner:put("inside")
      local list = { 1, -1.5, true, false, "short", ("x"):rep(600), LARGE, { id = 1, { 2 } }, inner, 1 << 40, LARGE }
      assert.equal(#list, q:put_many(list))
      assert.equal(#list, q:qsize())
      local back = q:get_many(100)
      assert.equal(#list, back.n)
      for i, v in ipairs(list) do
        if i ~= 8 and i ~= 9 then
          assert.is_true(v == back[i])
          assert.equal(math.type(v), math.type(back[i]))
        end
      end
      assert.same(list[8], back[8])
      assert.equal("inside", back[9]:get(0))
    end)

    it("is as large as it likes", function()
      local q <close> = mproc.Queue()
      assert.equal(20000, q:put_many(numbers(1, 20000)))
      assert.same(numbers(1, 20000), drain(q))
    end)

    it("is put as far as there is room, and goes on", function()
      local q <close> = mproc.Queue(7)
      local p <close> = mproc.Process(function()
        q:put_many(numbers(1, 50))
        q:close()
      end):start()
      local got = {}
      for _, v in q:items(3) do
        assert.is_true(q:qsize() <= 7)
        got[#got + 1] = v
      end
      assert.same(numbers(1, 50), got)
      p:join()
      assert.equal(0, p.exitcode)
    end)

    it("is taken up to a count", function()
      local q <close> = mproc.Queue()
      q:put_many(numbers(1, 10))
      assert.same({ 1, 2, 3, n = 3 }, q:get_many(3))
      assert.same({ 4, n = 1 }, q:get_many(1))
      assert.equal(6, q:qsize())
      assert.equal(6, q:get_many(math.maxinteger).n)
    end)

    it("of a joinable queue is as many tasks", function()
      local q <close> = mproc.JoinableQueue()
      q:put_many(numbers(1, 5))
      assert.equal(5, q:get_many(9).n)
      for _ = 1, 5 do
        assert.is_false((q:join(0)))
        q:task_done()
      end
      assert.is_true((q:join(0)))
    end)
  end)

  describe("that is wrong", function()
    local function refused(text, list)
      local q <close> = mproc.Queue()
      blame.call(text, q.put_many, q, list)
      assert.equal(0, q:qsize())
    end

    it("has holes and no n", function()
      refused(#{ 1, nil, 3 } == 3 and "list[2] is nil" or "list[", { 1, nil, 3 })
      local tail = { 1, 2 }
      tail[4] = 4
      refused("list[", tail) -- where Lua sees its end is its own affair
      refused("list[", { nil, nil, 3, nil, nil, nil })
      local sparse = { "x" }
      sparse[1 << 40] = "y"
      refused("list[1099511627776] stands behind a hole", sparse)
    end)

    it("has no holes: fields, and places below 1, are its own affair", function()
      local q <close> = mproc.Queue()
      assert.equal(2, q:put_many({ "a", "b", [0] = "zero", [-1] = "minus", name = "list", [1.5] = true }))
      assert.same({ "a", "b", n = 2 }, q:get_many(9))
      local hashed = {}
      for i = 20, 1, -1 do
        hashed[i] = i
      end
      assert.equal(20, q:put_many(hashed))
    end)

    it("has an n that is no count", function()
      for _, n in ipairs({ -1, 1.5, "x", {}, true, math.mininteger }) do
        refused("n must be a count", { 1, n = n })
      end
      refused("", { 1, n = math.maxinteger })
    end)

    it("has an unsendable item in the middle", function()
      local list = numbers(1, 40)
      list[17] = { log = io.stdout }
      refused("list[17].log", list)
      list[17] = coroutine.create(print)
      refused("list[17]", list)
      list[17] = LARGE
      list[30] = { { io.stdout } }
      refused("list[30][1][1]", list)
    end)

    it("goes to a closed queue", function()
      local q <close> = mproc.Queue(2)
      local p <close> = mproc.Process(function(go)
        go:get()
        mproc.sleep(0.05)
        q:close()
      end, q):start()
      q:put("go")
      local n, why = q:put_many(numbers(1, 9))
      p:join()
      assert.equal("closed", why)
      assert.is_true(n >= 1 and n <= 2)
      assert.same(numbers(1, n), drain(q))
      blame.call("closed", q.put_many, q, { 1 })
    end)
  end)

  describe("with a value that cannot be decoded", function()
    local Bad = {}

    local function bad()
      return setmetatable({}, Bad)
    end

    setup(function()
      Bad.__mproc_encode = function()
        return {}
      end
      mproc.register("batch_spec.Bad", Bad, {
        decode = function()
          if Bad.works then
            return "mended"
          end
          error("spoilt", 0)
        end,
      })
    end)

    before_each(function()
      Bad.works = false
    end)

    it("ends before it; it and all behind it stay, in their order", function()
      local q <close> = mproc.Queue()
      q:put_many({ 1, 2, bad(), 4, "five", 6 })
      q:put(7)
      assert.same({ 1, 2, n = 2 }, q:get_many(100))
      assert.equal(5, q:qsize())
      Bad.works = true
      assert.same({ "mended", 4, "five", 6, 7, n = 5 }, q:get_many(100))
    end)

    it("raises when it is the first, which is consumed; all behind it stay", function()
      local q <close> = mproc.Queue()
      q:put_many({ bad(), 2, 3 })
      assert.error_matches(function() q:get_many(100) end, "spoilt")
      assert.same({ 2, 3, n = 2 }, q:get_many(100))
    end)

    it("raises in a loop that fetches ahead; all behind it stay", function()
      local q <close> = mproc.Queue()
      q:put_many({ 1, bad(), 3, 4 })
      local got = {}
      assert.error_matches(function()
        for _, v in q:items(10) do
          got[#got + 1] = v
        end
      end, "spoilt")
      assert.same({ 1 }, got)
      assert.same({ 3, 4, n = 2 }, q:get_many(10))
    end)

    it("may use the queue itself while it is decoded", function()
      local q <close> = mproc.Queue()
      local Nosy = { __mproc_encode = function() return {} end }
      local there
      Nosy.look = function()
        there = q:get_many(100, 0) or {}
      end
      mproc.register("batch_spec.Nosy", Nosy, {
        decode = function()
          Nosy.look()
          return "nosy"
        end,
      })
      q:put_many({ 1, setmetatable({}, Nosy), 3 })
      q:put_many({ LARGE, "b" })
      local list = q:get_many(100)
      assert.same({ 1, "nosy", 3 }, { list[1], list[2], list[3] })
      assert.equal(5, list.n + (there.n or 0))
      Nosy.look = nil -- the registration keeps the rest
    end)
  end)

  describe("fetched ahead", function()
    it("counts as get does", function()
      local q <close> = mproc.Queue()
      q:put_many({ "a", nil, "c", n = 3 })
      q:close()
      local got = {}
      for i, v in q:items(2) do
        got[i] = v or "nil"
      end
      assert.same({ "a", "nil", "c" }, got)
    end)

    it("goes back when the loop is left", function()
      local q <close> = mproc.Queue()
      q:put_many(numbers(1, 10))
      for i in q:items(4) do
        assert.equal(6, q:qsize())
        if i == 2 then
          break
        end
      end
      assert.same(numbers(3, 10), drain(q))
    end)

    it("goes back when the iterator is collected", function()
      local q <close> = mproc.Queue()
      q:put_many(numbers(1, 3))
      local step = q:items(3)
      assert.equal(1, select(2, step()))
      step = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.same({ 2, 3, n = 2 }, q:get_many(9))
    end)

    fork_it("is its process's: a fork does not give it again", function()
      -- an iterator is inherited
      local q <close> = mproc.Queue()
      local other <close> = mproc.Queue()
      q:put_many(numbers(1, 3))
      local step, _, _, closer = q:items(3)
      local guard <close> = closer -- luacheck: ignore
      step()
      local p <close> = mproc.Process(function()
        q:put("later")
        other:put((select(2, step())))
      end):start()
      assert.equal("later", other:get(10))
      p:join()
      assert.equal(2, select(2, step()))
      assert.equal(3, select(2, step()))
    end)

    it("is lost with its process, and no more than that", function()
      local q <close> = mproc.Queue()
      q:put_many(numbers(1, 10))
      local at = mproc.Event()
      local p = mproc.Process(function()
        for i in q:items(4) do
          if i == 2 then
            at:set()
            mproc.sleep(60)
          end
        end
      end)
      p:start()
      at:wait()
      p:kill()
      p:join()
      p:close()
      assert.same(numbers(5, 10), drain(q))
    end)

    it("by a count that is none raises", function()
      local q <close> = mproc.Queue()
      for _, n in ipairs({ 0, -1, 1.5, "x" }) do
        blame.call("", q.items, q, n)
      end
    end)
  end)
end)
