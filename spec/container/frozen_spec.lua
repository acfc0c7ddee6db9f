-- SPDX-License-Identifier: MIT
-- mproc.freeze: immutable tables that are read in place.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

local function mproc_objects()
  return require("mproc.core").stats().objects
end

describe("a frozen table", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  local function sample()
    local t = {
      servers = { { name = "a", ports = { 1, 2, 3 } }, { name = "b", ports = { 0.5, 1.5 } } },
      "x", false, [100] = 7, [true] = "yes", [1.5] = "f", big = 1 << 60, [(1 << 60) + 1] = "at big", neg = -5,
      nan = 0 / 0, zero = -0.0, empty = {}, bytes = "a\0b", long = ("l"):rep(100000), [""] = "nameless",
      huge = math.huge, least = math.mininteger, edge = 1 << 46, below = (1 << 46) - 1, under = -(1 << 46),
    }
    t.self, t.again = t, t.servers
    return t
  end

  it("reads as what it was made from", function()
    local t = sample()
    local f <close> = mproc.freeze(t)
    assert.equal(2, #f)
    for _, key in ipairs({ 1, 2, 100, true, 1.5, "big", (1 << 60) + 1, "neg", "bytes", "long", "", "huge", "least",
      "edge", "below", "under" }) do
      assert.equal(t[key], f[key], tostring(key))
      assert.equal(math.type(t[key]), math.type(f[key]))
    end
    assert.is_true(f.nan ~= f.nan)
    assert.equal(-math.huge, 1 / f.zero)
    assert.equal(0, #f.empty)
    assert.equal("b", f.servers[2].name)
    assert.equal(3, f.servers[1].ports[3])
    assert.equal(1.5, f.servers[2].ports[2])
    for _, key in ipairs({ 0, 3, -1, 1 << 60 | 3, "nope", 2.5, false }) do
      assert.is_nil(f[key])
    end
    assert.is_nil(f[1 << 63])
  end)

  it("is read by a path, without the tables on the way", function()
    local f <close> = mproc.freeze(sample())
    assert.equal("a", f("servers", 1, "name"))
    assert.equal(2, f("servers", 1, "ports", 2))
    assert.equal(0.5, f("self", "self", "servers", 2, "ports", 1))
    assert.is_nil(f("servers", 3, "name"))
    assert.is_nil(f("neg", "x"))
    assert.is_nil(f("servers", 1, "ports", 1, "x"))
    assert.equal(f, f())
  end)

  it("keeps cycles and shared tables, and identity while it is held", function()
    local f <close> = mproc.freeze(sample())
    assert.is_true(rawequal(f.self, f))
    assert.is_true(rawequal(f.servers, f.again))
    local by_table = { [f.servers] = 1 }
    collectgarbage()
    assert.equal(1, by_table[f.again])
    assert.is_false(f.servers == f.empty)
    assert.is_false(f == sample())
  end)

  it("is walked by pairs and ipairs, in the same order everywhere", function()
    local t = {}
    for i = 1, 300 do
      t[i], t["key" .. i] = i * i, i
    end
    local f <close> = mproc.freeze(t)
    local n, sum, order = 0, 0, {}
    for k, v in pairs(f) do
      assert.equal(t[k], v)
      n, sum = n + 1, sum + v
      order[n] = k
    end
    assert.equal(600, n)
    for i = 1, 300 do
      assert.equal(i, order[i])
      sum = sum - i * i - i
    end
    assert.equal(0, sum)
    local there = children.results(children.start(function(g)
      local list = {}
      for k in pairs(g) do
        list[#list + 1] = k
      end
      return list
    end, f))
    assert.same(order, there)
    local count = 0
    for i, v in ipairs(f) do
      assert.equal(i * i, v)
      count = count + 1
    end
    assert.equal(300, count)
    assert.equal("1,4,9", table.concat(f, ",", 1, 3))
    assert.same({ 1, 4, 9 }, { table.unpack(f, 1, 3) })
  end)

  it("cannot be changed, and says what to do", function()
    local f <close> = mproc.freeze({ a = 1 })
    local text = "cannot be changed; mproc.thaw"
    blame.caller(function() f.a = 2 end, text, "cannot set f.a")
    blame.caller(function() f.b = 2 end, text, "cannot set f.b")
    local deep <close> = mproc.freeze({ servers = { {}, { name = "x", [true] = { {} } } }, list = { 1, 2 } })
    blame.caller(function() deep.servers[2].name = "y" end, text, "cannot set f.servers[2].name")
    blame.caller(function() deep.servers[2][true][1][5] = "y" end, text, "cannot set f.servers[2][true][1][5]")
    blame.caller(function() table.insert(deep.list, 3) end, text, "cannot set f.list[3]")
    blame.caller(function() table.remove(deep.list) end, text, "f.list[2]")
    assert.has_error(function() table.insert(f, 1) end)
    assert.has_error(function() rawset(f, "a", 2) end)
    assert.equal(1, f.a)
  end)

  it("thaws to a plain copy", function()
    local t = sample()
    local f <close> = mproc.freeze(t)
    local copy = mproc.thaw(f)
    assert.equal("table", type(copy))
    assert.is_true(rawequal(copy, copy.self))
    assert.is_true(rawequal(copy.servers, copy.again))
    copy.self, copy.nan, t.self, t.nan = nil, nil, nil, nil
    assert.same(t, copy)
    copy.servers[1].name = "changed"
    assert.equal("a", f.servers[1].name)
    assert.equal(5, mproc.thaw(5))
    assert.is_true(mproc.is_frozen(f))
    assert.is_false(mproc.is_frozen(copy))
    assert.is_true(rawequal(f, mproc.freeze(f)))
  end)

  it("keeps registered metatables for thaw", function()
    local Point = {}
    mproc.register("frozen_spec.Point", Point)
    local f <close> = mproc.freeze({ setmetatable({ x = 1 }, Point) })
    assert.equal(1, f[1].x)
    assert.equal(Point, getmetatable(mproc.thaw(f)[1]))
  end)

  it("has mproc objects in it, and keeps them", function()
    local f = mproc.freeze({ q = mproc.Queue(), [1] = mproc.Value("integer", 7) })
    collectgarbage()
    collectgarbage()
    f.q:put("hello")
    assert.equal("hello", f.q:get())
    assert.equal(7, f[1].value)
    assert.is_true(f.q == f.q)
    local inner = f.q
    f = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    inner:put(1)
    assert.equal(1, inner:get())
  end)

  it("keeps the holes of a list", function()
    local f <close> = mproc.freeze({ table.pack(nil, 2, nil, 4), { 1, nil, 3, x = 5 } })
    assert.equal(#table.pack(nil, 2, nil, 4), #f[1])
    assert.equal(4, f[1].n)
    assert.same({ [2] = 2, [4] = 4 }, { table.unpack(f[1], 1, 4) })
    assert.is_nil(f[1][1])
    assert.is_nil(f(1, 3))
    local found = {}
    for k, v in pairs(f[1]) do
      found[k] = v
    end
    assert.same({ [2] = 2, [4] = 4, n = 4 }, found)
    assert.same({ { n = 4, [2] = 2, [4] = 4 }, { 1, nil, 3, x = 5 } }, mproc.thaw(f))
  end)

  it("thaws from any table in it, however long the way through it is", function()
    local node, list = { last = true }, {}
    for i = 1, 5000 do
      list[i] = node
      node = { next = node, id = i }
    end
    local f <close> = mproc.freeze(list)
    local n, copy = 0, mproc.thaw(f[5000])
    while copy do
      n, copy = n + 1, copy.next
    end
    assert.equal(5000, n)
  end)

  it("is a list to a pool, which reads its items in place", function()
    local f <close> = mproc.freeze({ { id = 1, tags = { 5 } }, { id = 2, tags = { 6 } }, { id = 3, tags = { 7 } } })
    local pool <close> = mproc.Pool(2)
    local function read(item)
      return mproc.is_frozen(item) and item.id * 100 + item.tags[1]
    end
    assert.same({ 105, 206, 307 }, pool:map(read, f))
    assert.same({ 105, 206, 307 }, pool:map(read, f, 1))
    assert.same({ 105, 206, 307 }, pool:map_async(read, f):get())
    local sum = 0
    for _, v in pool:imap_unordered(read, f) do
      sum = sum + v
    end
    assert.equal(618, sum)
    assert.same({ 1, 2, 3 }, pool:map(function(i) return f[i].id end, { 1, 2, 3 }))
    assert.same({ 3, 7 }, pool:starmap(math.max, mproc.freeze({ { 1, 3 }, { 7, 2 } })))
    assert.same({ 0, 4 }, pool:map(function(x) return x or 0 end, mproc.freeze(table.pack(nil, 4))))
    assert.is_true(rawequal(f, pool:apply(function(x) return x end, { f })))
    assert.equal(3, pool:submit(function(x) return #x end, f):get())
  end)

  it("travels as a handle: by queues, arguments, results, dicts and pools, whole or in part", function()
    local f <close> = mproc.freeze(sample())
    local q, d = mproc.Queue(), mproc.Dict()
    q:put(f)
    assert.is_true(rawequal(f, q:get()))
    q:put({ f.servers[2], f.servers })
    local got = q:get()
    assert.is_true(rawequal(f.servers[2], got[1]))
    assert.is_true(rawequal(f.servers, got[2]))
    d.config = f
    assert.is_true(rawequal(f, d.config))
    assert.equal("b", children.results(children.start(function(g) return g.servers[2].name end, f)))
    assert.equal("a", children.results(children.start(function(part) return part.name end, f.servers[1])))
    local pool <close> = mproc.Pool(2)
    local names = pool:map(function(i) return f.servers[i].name end, { 1, 2, 1 })
    assert.same({ "a", "b", "a" }, names)
    assert.same({ 10, 20, 30 }, pool:map(function(x) return x * 10 end, f.servers[1].ports))
    assert.equal("a", pool:apply(function() return f end).servers[1].name)
  end)

  it("outlives its maker, and goes with its last holder, killed or not", function()
    local q = mproc.Queue()
    local p = mproc.Process(function() q:put(mproc.freeze({ text = ("x"):rep(100000) })) end):start()
    p:join()
    local f = q:get()
    assert.equal(100000, #f.text)
    local killed = mproc.Process(function(g) return g.text, mproc.sleep(60) end, f):start()
    killed:kill()
    killed:join()
    f = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
  end)

  it("is let go of at the end of its scope", function()
    local objects = mproc_objects()
    local outer
    do
      local f <close> = mproc.freeze({ inner = {} })
      outer = f
    end
    assert.equal(objects, mproc_objects())
    blame.caller(function() return outer.inner end, "is closed")
    assert.equal("mproc.Frozen: closed", tostring(outer))
  end)

  it("refuses what cannot be in it, with the path", function()
    local function refused(text, t)
      blame.call(text, mproc.freeze, t)
    end
    refused("cannot freeze t.a[2].f: a function", { a = { 1, { f = print } } })
    refused("cannot freeze t.co: a coroutine", { co = coroutine.create(print) })
    refused("cannot freeze t.log: a file", { log = io.stdout })
    local hooked = {}
    mproc.register("frozen_spec.Hooked", hooked, { decode = function(x) return x end })
    hooked.__mproc_encode = function() return 1 end
    refused("cannot freeze t.h: it travels as what its __mproc_encode gives", { h = setmetatable({}, hooked) })
    refused("cannot freeze t.b: it is of mproc's own", { b = mproc.Barrier(2) })
    refused("cannot freeze t.w: a userdata belongs to one process", { w = mproc.Lock():guard() })
    refused("cannot freeze t.m: its metatable has no name", { m = setmetatable({}, {}) })
    refused("cannot freeze a key of t.k: a table", { k = { [{}] = 1 } })
    refused("freeze takes a table, got 5", 5)
    local deep = {}
    for _ = 1, 2000 do
      deep = { deep }
    end
    refused("nested too deeply", deep)
    local closed = mproc.Queue()
    closed:close()
    local f <close> = mproc.freeze({ closed })
    assert.truthy(f[1])
  end)

  it("shares shapes, and says how large it is", function()
    local t = {}
    for i = 1, 1000 do
      t[i] = { id = i, name = "n" .. i, tags = {} }
    end
    local f <close> = mproc.freeze(t)
    local info = mproc.frozen_info(f)
    assert.equal(1, info.shapes)
    assert.equal(2001, info.tables)
    assert.equal(1003, info.strings)
    assert.truthy(info.bytes < 200000)
    assert.same(info, mproc.frozen_info(f[7]))
  end)

  it("says when the arena has no room for it", function()
    local result = program.text([[
      local mproc = require("mproc")
      local t = {}
      for i = 1, 400000 do t[i] = { i } end
      local f, message, name = mproc.freeze(t)
      assert(f == nil and name == "ENOMEM", tostring(message))
      for round = 1, 200 do
        local small <close> = assert(mproc.freeze({ ("x"):rep(100000) }))
      end
      print("ok")
    ]], { env = "MPROC_ARENA=8M" })
    assert.equal("ok\n", result.out, result.err)
  end)

  it("costs a reader next to nothing of its own", function()
    local result = program.text([[
      local mproc = require("mproc")
      local t = {}
      for i = 1, 100000 do t[i] = { id = i, name = "user" .. i, score = i / 2, tags = { i, i + 1 } } end
      local f = mproc.freeze(t)
      t = nil
      collectgarbage()
      local function private_kib()
        local kib = 0
        for line in io.lines("/proc/self/smaps_rollup") do
          kib = kib + (tonumber(line:match("^Private_Dirty: *(%d+)")) or 0)
        end
        return kib
      end
      local grown = mproc.Process(function(g)
        local before, sum = private_kib(), 0
        for i = 1, 100000, 100 do sum = sum + g(i, "score") + g(i, "tags", 2) end
        return private_kib() - before
      end, f):start():result()
      print(grown <= 1024 and "ok" or grown)
    ]])
    assert.equal("ok\n", result.out, result.err)
  end)
end)

describe("a configuration that is replaced", function()
  leaks.watch()

  it("is never seen as a mixture, and old ones go", function()
    local mproc = require("mproc")
    local objects = mproc_objects()
    do
      local d = mproc.Dict()
      local function put(version)
        local config = { version = version, parts = {} }
        for i = 1, 50 do
          config.parts[i] = { version = version, name = "part" .. i }
        end
        d.config = mproc.freeze(config)
      end
      put(0)
      local readers = {}
      for i = 1, 2 do
        readers[i] = mproc.Process(function()
          local last, reads = 0, 0
          repeat
            local config = d.config
            for _, part in ipairs(config.parts) do
              assert(part.version == config.version, "a mixture")
            end
            assert(config.version >= last, "an old one came back")
            last, reads = config.version, reads + 1
          until last >= 100
          return reads
        end):start()
      end
      for version = 1, 100 do
        put(version)
      end
      for _, reader in ipairs(readers) do
        assert.truthy(reader:result() > 0)
        assert.is_true(reader:join(20))
      end
      d:close()
    end
    collectgarbage()
    collectgarbage()
    assert.truthy(mproc_objects() <= objects)
  end)
end)
