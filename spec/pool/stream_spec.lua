-- SPDX-License-Identifier: MIT
-- imap and imap_unordered: order, windows, errors, ends.

local leaks = require("spec.support.leaks")

describe("a stream", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  local function counter(limit)
    local state = { read = 0 }
    return state, function()
      if not limit or state.read < limit then
        state.read = state.read + 1
        return state.read
      end
    end
  end

  it("gives indices and values in order", function()
    local pool <close> = mproc.Pool(3)
    for _, chunksize in ipairs({ false, 1, 7, 1000 }) do
      local expected = 0
      local _, input = counter(500)
      for i, v in pool:imap(function(x) return x % 3 ~= 0 and x * 2 or nil end, input, chunksize or nil) do
        expected = expected + 1
        assert.equal(expected, i)
        assert.equal(i % 3 ~= 0 and 2 * i or nil, v)
      end
      assert.equal(500, expected)
    end
  end)

  it("unordered gives each index once, as they end", function()
    local pool <close> = mproc.Pool(2)
    local gate = mproc.Queue()
    local order, seen = {}, {}
    for i, v in pool:imap_unordered(function(x)
      if x == 1 then
        gate:get()
      end
      return -x
    end, { 1, 2, 3, 4 }, 1) do
      assert.equal(-i, v)
      order[#order + 1], seen[i] = i, true
      if #order == 3 then
        gate:put(true)
      end
    end
    assert.equal(1, order[4])
    assert.same({ true, true, true, true }, seen)
  end)

  it("takes io.lines as it stands, over a whole file", function()
    local pool <close> = mproc.Pool(2)
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    for i = 1, 5000 do
      file:write("line ", i, "\n")
    end
    file:close()
    local count = 0
    for i, v in pool:imap(function(line) return line:match("%d+") end, io.lines(name)) do
      count = count + 1
      assert.equal(tostring(i), v)
    end
    assert.equal(5000, count)
    local lines = table.pack(io.lines(name))
    for i in pool:imap(string.len, table.unpack(lines, 1, 4)) do
      if i == 2 then break end
    end
    assert.equal("file (closed)", tostring(lines[4]))
    os.remove(name)
  end)

  it("reads a bounded window ahead, however slowly it is fetched", function()
    local pool <close> = mproc.Pool(2)
    local state, input = counter()
    for i in pool:imap(function(x) return x end, input) do
      assert.is_true(state.read - i <= 5000)
      if i % 1000 == 0 then
        for _ = 1, 50 do pool:step(0.001) end
        assert.is_true(state.read - i <= 5000)
      elseif i > 30000 then
        break
      end
    end
    state, input = counter()
    for i in pool:imap(mproc.sleep, function() return input() and 0.01 end) do
      assert.is_true(state.read - i <= 16)
      if i > 20 then break end
    end
  end)

  it("ends its work at a break: what is queued never runs", function()
    local pool <close> = mproc.Pool(1)
    local ran = mproc.Queue()
    for i in pool:imap(function(x)
      ran:put(x)
      mproc.sleep(0.02)
      return x
    end, select(2, counter())) do
      if i == 3 then break end
    end
    pool:join()
    assert.is_true(ran:qsize() <= 8)
  end)

  it("that is dropped is forgotten", function()
    local pool <close> = mproc.Pool(1)
    local state, input = counter()
    local nextone = pool:imap(math.abs, input)
    assert.equal(1, nextone())
    nextone = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    local read = state.read
    pool:apply(math.abs, { 1 })
    assert.is_true(pool:join(20))
    assert.is_true(state.read <= read)
  end)

  it("raises an item's error at that item, and goes on", function()
    local pool <close> = mproc.Pool(2)
    local nextone <const> = pool:imap(function(x)
      if x % 2 == 0 then
        error({ item = x })
      end
      return x
    end, { 1, 2, 3, 4, 5 })
    assert.same({ 1, 1 }, { nextone() })
    assert.same({ false, { item = 2 } }, { pcall(nextone) })
    assert.same({ 3, 3 }, { nextone() })
    assert.same({ false, { item = 4 } }, { pcall(nextone) })
    assert.same({ 5, 5 }, { nextone() })
    assert.is_nil(nextone())
    assert.is_nil(nextone())
  end)

  it("of items of which one cannot travel raises at that one", function()
    local pool <close> = mproc.Pool(2)
    local nextone <const> = pool:imap(type, { 1, io.stdout, "x" })
    assert.same({ 1, "number" }, { nextone() })
    assert.error_matches(nextone, "cannot send items%[2%]: a file")
    assert.same({ 3, "string" }, { nextone() })
  end)

  it("gives its results after close and join too", function()
    local pool <close> = mproc.Pool(2)
    local nextone <const> = pool:imap(function(x) return x * x end, select(2, counter(3000)))
    pool:close()
    assert.is_true(pool:join(60))
    for i = 1, 3000 do
      local index, value = nextone()
      assert.same({ i, i * i }, { index, value })
    end
    assert.is_nil(nextone())
  end)

  it("of an input that was cut off by terminate says so", function()
    local pool = mproc.Pool(1)
    local nextone <const> = pool:imap(mproc.sleep, { 0, 60, 60 })
    nextone()
    pool:terminate()
    assert.error_matches(nextone, "terminated")
    assert.is_nil(nextone())
  end)

  it("can feed another, and both go on", function()
    local pool <close> = mproc.Pool(2)
    local first <const> = pool:imap(function(x) return x + 1 end, select(2, counter(300)))
    local sum = 0
    for _, v in pool:imap(function(_, x) return x * 2 end, first) do
      sum = sum + v
    end
    assert.equal(300 * 301 + 600, sum)
  end)

  it("gives items of several values as several arguments", function()
    local pool <close> = mproc.Pool(2)
    local list = {}
    for i, v in pool:imap(function(key, value) return key .. "=" .. value end, ("a=1, b=2"):gmatch("(%w+)=(%w+)")) do
      list[i] = v
    end
    assert.same({ "a=1", "b=2" }, list)
    list = {}
    for i, v in pool:imap(math.max, { { 1, 5 }, { 3, 2 } }, { zip = true }) do
      list[i] = v
    end
    assert.same({ 3, 5 }, list)
  end)

  it("runs in a coroutine, with an input that yields", function()
    local pool <close> = mproc.Pool(2)
    local results = {}
    local co = coroutine.wrap(function()
      local n = 0
      for i, v in pool:imap(math.abs, function()
        n = n + 1
        coroutine.yield("input " .. n)
        return n <= 5 and -n or nil
      end) do
        results[i] = v
      end
      return "done"
    end)
    local said
    repeat
      said = co()
    until said == "done"
    assert.same({ 1, 2, 3, 4, 5 }, results)
  end)
end)
