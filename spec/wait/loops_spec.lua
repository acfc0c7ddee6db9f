-- SPDX-License-Identifier: MIT
-- The conventions of other loops: cqueues.poll, LuaSocket's select and copas take mproc's objects as they are.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local store = require("spec.support.store")

local SECONDS = 60

-- Debian has copas, which is Lua alone, in the folders of older versions.
local function find(name)
  local path = package.path
  package.path = path .. ";/usr/share/lua/5.2/?.lua"
  local there, module = pcall(require, name)
  package.path = path
  return there and module
end

local cqueues, socket, copas = find("cqueues"), find("socket"), find("copas")

-- Asserts that there is that module, or says that the spec waits for it.
local function needs(module, package_name)
  if not module then
    pending("needs " .. package_name)
  end
  return module
end

describe("the loop of", function()
  setup(function()
    store.warm()
    if cqueues then
      cqueues.new():wrap(function() cqueues.poll(0) end):loop() -- opens descriptors of its own at first use
    end
  end)
  leaks.watch()

  local finish, start = children.finish, children.start

  -- Runs f with each kind of object, and with what makes it ready. ready_later: from another process.
  local function each_kind(f)
    local q <close> = mproc.Queue()
    f("a queue", q, function() q:put(1) end, function() return q:get(0) end)
    local simple = mproc.SimpleQueue()
    f("a simple queue", simple, function() simple:put(1) end, function() return simple:get(0) end)
    simple:close()
    local a <close>, b = mproc.Pipe()
    f("a connection", a, function() b:send(1) end, function() return a:recv(0) end)
    b:close()
    local gate = mproc.Event()
    local p = start(function() gate:wait() end)
    f("a process", p, function() gate:set() end, function() return p:join(SECONDS) end)
    finish(p)
  end

  describe("cqueues", function()
    it("polls each kind as it is", function()
      if not needs(cqueues, "lua-cqueues") then return end
      each_kind(function(name, object, make_ready, take)
        assert.equal("r", object:events())
        assert.is_nil(object:timeout())
        local early, late
        local loop = cqueues.new()
        loop:wrap(function()
          early = cqueues.poll(object, 0.2)
          make_ready()
          late = cqueues.poll(object, SECONDS)
        end)
        assert(loop:loop())
        assert.equal(object, late, name)
        assert.is_true(early == 0.2 or early == object) -- it may turn readable without cause
        assert.truthy(take())
      end)
    end)

    it("waits for another process, while others of its coroutines go on", function()
      if not needs(cqueues, "lua-cqueues") then return end
      local q <close> = mproc.Queue()
      local go = mproc.Event()
      local p = start(function()
        go:wait()
        q:put("there")
      end)
      local got, ticks = nil, 0
      local loop = cqueues.new()
      loop:wrap(function()
        repeat
          cqueues.poll(q, 0.05)
          got = q:get(0)
        until got
      end)
      loop:wrap(function()
        repeat
          cqueues.sleep(0.001)
          ticks = ticks + 1
          if ticks == 5 then go:set() end
        until got
      end)
      assert(loop:loop())
      assert.equal("there", got)
      assert.is_true(ticks >= 5)
      finish(p)
    end)

    it("steps a pool", function()
      if not needs(cqueues, "lua-cqueues") then return end
      local pool <close> = mproc.Pool(1)
      local future = pool:submit(function(x) return x + 1 end, 41)
      local loop = cqueues.new()
      loop:wrap(function()
        while not future:ready() do
          cqueues.poll(pool, 1)
          pool:step()
        end
      end)
      assert(loop:loop())
      assert.equal(42, future:get(0))
    end)
  end)

  describe("LuaSocket", function()
    it("selects each kind as it is", function()
      if not needs(socket, "lua-socket") then return end
      each_kind(function(name, object, make_ready, take)
        assert.equal(object:fileno(), object:getfd())
        assert.is_false(object:dirty(), name)
        make_ready()
        local ready = socket.select({ object }, nil, SECONDS)
        assert.equal(object, ready[1], name)
        assert.equal(object, (socket.select({ object }, nil, 0))[1], name)
        assert.truthy(take())
      end)
    end)

    it("waits for sockets and queues together", function()
      if not needs(socket, "lua-socket") then return end
      local q <close> = mproc.Queue()
      local listener = assert(socket.bind("127.0.0.1", 0))
      local go = mproc.Event()
      local p = start(function()
        go:wait()
        q:put(1)
      end)
      go:set()
      local ready
      repeat -- without cause, now and then
        ready = socket.select({ listener, q }, nil, SECONDS)
      until q:dirty()
      assert.equal(q, ready[1])
      listener:close()
      finish(p)
    end)

    it("selects a Descriptor", function()
      if not needs(socket, "lua-socket") then return end
      local listener = assert(socket.bind("127.0.0.1", 0))
      local ip, port = listener:getsockname()
      local client = assert(socket.connect(ip, port))
      local server = listener:accept()
      local d <close> = mproc.fd(server)
      server:close()
      assert.same({}, (socket.select({ d }, nil, 0)))
      client:send("x")
      assert.equal(d, (socket.select({ d }, nil, SECONDS))[1])
      client:close()
      listener:close()
    end)
  end)

  it("copas receives from a queue in a coroutine", function()
    if not needs(socket and copas, "lua-copas") then return end
    local q <close> = mproc.Queue()
    local go, got, others = mproc.Event(), {}, 0
    local p = start(function()
      go:wait()
      for i = 1, 3 do q:put(i) end
      q:close()
    end)

    local source = setmetatable({}, { __index = { -- what copas.receive asks of a socket
      getfd = function() return q:getfd() end,
      dirty = function() return q:dirty() end,
      close = function() end, -- when the coroutine ends
      receive = function()
        local value, word = q:get(0)
        return value, word == "empty" and "timeout" or word
      end,
    } })
    copas.addthread(function()
      for value in copas.receive, source do got[#got + 1] = value end
    end)
    copas.addthread(function()
      go:set()
      others = others + 1
    end)
    repeat copas.step(1) until #got == 3 and q:get(0) == nil
    copas.step(0)
    assert.same({ 1, 2, 3 }, got)
    assert.equal(1, others)
    finish(p)
  end)
end)
