-- SPDX-License-Identifier: MIT
-- Managers beyond a socket: addresses, keys, what may pass, lives by connection, deaths, hostile peers.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local lfs = require("lfs")
local managers = require("spec.support.managers")
local mproc = require("mproc")
local program = require("spec.support.program")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

local SECONDS = 60
local KEY = "a key"

local function serve(address, options)
  options = options or {}
  options.address, options.authkey = address, KEY
  return managers.start(options)
end

local function connect(m, options)
  options = options or {}
  options.authkey = options.authkey == nil and KEY or options.authkey
  return mproc.connect(m.address, options)
end

describe("a manager beyond a socket", function()
  leaks.watch()

  for _, address in ipairs({ "127.0.0.1:0", "@mproc-spec-manager", "path" }) do
    fork_it("is the same manager: " .. address, function()
      -- a metatable that this file alone has registered
      local path = address == "path" and os.tmpname()
      if path then
        os.remove(path)
      end
      do
        local m <close> = serve(path or address, { objects = { named = managers.Counter(7) }, name = "bank" })
        local far <close> = assert(connect(m))
        assert.equal("bank", far.name)
        assert.is_nil(far.pid)
        local c = far:create("Counter", 1)
        assert.equal(2, c:add(1))
        assert.same(table.pack(1, nil, "x", nil), table.pack(c:many(1, nil, "x", nil)))
        assert.equal(8, far:get("named"):add(1))
        assert.equal(9, m:get("named"):add(1))
        assert.equal(("y"):rep(1 << 20), (c:many(("y"):rep(1 << 20))))
        assert.equal("mproc.Manager: 'bank' (" .. m.address .. ")", tostring(far))
      end
      if path then
        assert.is_nil(lfs.attributes(path))
      end
    end)
  end

  fork_it("is reached from another program", function()
    -- a metatable that this file alone has registered
    local m <close> = serve("127.0.0.1:0", { objects = { named = managers.Counter(7) } })
    local result = program.text(([[
      local mproc = require("mproc")
      local m = assert(mproc.connect(%q, { authkey = %q }))
      local c = m:create("Counter", 5)
      print(c:add(1), m:get("named"):add(1))
    ]]):format(m.address, KEY), { seconds = SECONDS })
    assert.equal("6\t8\n", result.out, result.err)
    assert.equal(8, m:get("named"):get())
  end)

  it("wants the key", function()
    local m <close> = serve("127.0.0.1:0")
    local far, message, name = connect(m, { authkey = "another" })
    assert.same({ nil, "EAUTH" }, { far, name })
    assert.is_nil(message:find(KEY, 1, true))
    far, message, name = connect(m, { authkey = false, timeout = 1 })
    assert.is_nil(far)
    assert.truthy(message and name)
    local ok <close> = assert(connect(m))
    assert.equal(1, ok:create("Counter"):add(1))
    blame.caller(function() mproc.Manager({ address = "127.0.0.1:0", authkey = "" }) end, "authkey")
  end)

  it("has the tree's key, or none, if that is said", function()
    local m <close> = managers.start({ address = "@mproc-spec-manager" })
    local far <close> = assert(mproc.connect(m.address))
    assert.equal(1, far:create("Counter"):add(1))
    local open <close> = managers.start({ address = "@mproc-spec-manager-open", authkey = false })
    local near <close> = assert(mproc.connect(open.address, { authkey = false }))
    assert.equal(1, near:create("Counter"):add(1))
  end)

  it("may be refused by the system, with the name", function()
    local m <close> = serve("@mproc-spec-manager")
    local second, message, name = mproc.Manager({ address = m.address })
    assert.same({ nil, "EADDRINUSE" }, { second, name })
    assert.truthy(message:find(m.address, 1, true))
    local far, _, code = mproc.connect("@mproc-spec-nobody-is-there")
    assert.same({ nil, "ECONNREFUSED" }, { far, code })
    blame.caller(function() mproc.connect() end, "connect takes an address")
    blame.caller(function() mproc.connect("@x", { key = 5 }) end, "unknown option \"key\"")
    blame.caller(function() mproc.connect("@x", 5) end, "connect's options must be a table")
  end)

  it("raises errors and mistakes as a near one does", function()
    local m <close> = serve("@mproc-spec-manager")
    local far <close> = assert(connect(m))
    local c = far:create("Counter")
    assert.matches("no money\nremote traceback", select(2, pcall(c.fail, c, "no money")))
    assert.has_error(function() c:fail({ code = 5 }) end, { code = 5 })
    blame.caller(function() c:ad() end, "did you mean 'add'?")
    blame.caller(function() far:create("Countr") end, "no constructor 'Countr'")
    blame.caller(function() far:get("x") end, "no object 'x'")
    blame.caller(function() far:shutdown() end, "which alone can shut it down")
    assert.equal(1, c:add(1))
  end)

  it("gets and gives plain values alone", function()
    local m <close> = serve("@mproc-spec-manager")
    local far <close> = assert(connect(m))
    local c, near = far:create("Counter"), m:create("Counter")
    blame.caller(function() c:many(print) end, "cannot send args[1]: a function does not travel to another machine")
    blame.caller(function() c:many({ function() end }) end, "cannot send args[1][1]: a function does not travel")
    blame.caller(function() c:many(mproc.Queue()) end, "cannot send args[1]")
    blame.caller(function() c:many(1, { io.stdout }) end, "cannot send args[2][1]: a file")
    blame.caller(function() c:many(near) end, "cannot send args[1]")
    blame.caller(function() c:many(c) end, "cannot send args[1]")
    local _, why = pcall(mproc.encode, c)
    assert.matches("a proxy of a manager beyond a socket belongs to its connection", why)
    local ok, err = pcall(c.give, c, "add")
    assert.is_false(ok)
    assert.matches("cannot send result%[1%]: a function does not travel to another machine", err)
    assert.equal(1, c:add(1))
    local q <close> = mproc.Queue()
    blame.caller(function() q:put(far) end, "send its address")
  end)

  it("calls with timeouts", function()
    local m <close> = serve("@mproc-spec-manager")
    local far <close> = assert(connect(m))
    local c = far:create("Counter")
    assert.same({ nil, "timeout" }, { c:call("sleep", { 0.3 }, 0.05) })
    assert.equal(5, c:add(5))
  end)

  it("keeps objects as long as their proxies, and the connection", function()
    local m <close> = serve("@mproc-spec-manager", { constructors = { Counter = managers.Counter, Gone = function()
      return { n = mproc.Value("integer", 0), make = function(self, k) return managers.Counter(k, self.n) end }
    end } })
    local gone = mproc.Value("integer", 0)
    local keeper = m:create("Counter")
    keeper:keep(gone)
    local p = children.start(function()
      local far = assert(connect(m))
      local list = {}
      for i = 1, 10 do
        list[i] = far:create("Counter", i)
      end
      list[1]:add(1)
      return #list
    end)
    assert.equal(10, children.results(p))
    assert.equal(1, keeper:add(1))
  end)

  fork_it("serves near and far ones at once", function()
    -- a metatable that this file alone has registered
    local m <close> = serve("@mproc-spec-manager", { objects = { c = managers.Counter(0) } })
    children.four(function(i)
      local here = i % 2 == 0 and m or assert(connect(m))
      local c = here:get("c")
      for _ = 1, 100 do
        c:add(1)
      end
    end)
    assert.equal(400, m:get("c"):get())
  end)

  it("dies for far ones, too, at once", function()
    for _, address in ipairs({ "127.0.0.1:0", "@mproc-spec-manager", os.tmpname() }) do
      os.remove(address)
      local m = serve(address)
      local ready, over = mproc.Event(), mproc.Event()
      local p = children.start(function()
        local far = assert(connect(m))
        local c = far:create("Counter")
        ready:set()
        local ok, err = pcall(c.sleep, c, 100)
        local again, other = pcall(c.add, c, 1)
        local made, third = pcall(far.create, far, "Counter")
        over:set()
        return ok, err.kind, again, other.kind, made, third.kind
      end)
      assert.is_true(ready:wait(SECONDS))
      mproc.sleep(0.1)
      managers.kill(m)
      assert.is_true(over:wait(5))
      assert.same({ false, "manager_died", false, "manager_died", false, "manager_died" }, { children.results(p) })
      m:shutdown()
      assert.is_nil(lfs.attributes(address))
    end
  end)

  it("ends a connection that is closed, and nothing else", function()
    local m <close> = serve("@mproc-spec-manager")
    local far = assert(connect(m))
    local c = far:create("Counter")
    far:close()
    far:close()
    managers.died(c.add, c, 1)
    blame.caller(function() far:create("Counter") end, "is closed")
    assert.equal(1, m:create("Counter"):add(1))
  end)

  fork_it("belongs to the process that connected", function()
    -- a proxy is inherited
    local m <close> = serve("@mproc-spec-manager")
    local far <close> = assert(connect(m))
    local c = far:create("Counter")
    local p = children.start(function()
      local _, err = pcall(c.add, c, 1)
      local _, other = pcall(far.create, far, "Counter")
      return err, other
    end)
    local err, other = children.results(p)
    assert.matches("connect here too, by mproc.connect", err)
    assert.matches("connect here too, by mproc.connect", other)
    assert.equal(1, c:add(1))
  end)

  it("is not held up, nor ended, by peers that are slow, silent or lying", function()
    local m <close> = serve("@mproc-spec-manager")
    local c = m:create("Counter")
    local key = { address = m.address, authkey = KEY }
    local silent = assert(mproc.Client(key))
    local lies = {
      5, {}, { "x" }, { 1 }, { 1, "nonsense" }, { 1, "call", 1, "add", mproc.encode({ n = 1 << 40 }) },
      { 1, "call", 1, "add", { n = 0 } }, { 1, "call", 1, "add", "x" }, { 1, "call", "x", {}, {} },
      { 1, "create", 0, "Counter" }, { 1, "drop", 5 }, { 1, 5 }, { 1.5, "hello" },
    }
    for _, lie in ipairs(lies) do
      local liar <close> = assert(mproc.Client(key))
      liar:send(lie)
      local answer, word = liar:recv(10)
      assert.is_nil(answer)
      assert.equal("closed", word)
    end
    local bytes <close> = assert(mproc.Client(key))
    bytes:send_bytes("\255\255\255")
    assert.same({ nil, "closed" }, { bytes:recv(10) })
    local thief <close> = assert(mproc.Client(key)) -- an object that is another's
    thief:send({ 1, "call", 1, "add", mproc.encode({ n = 0 }) })
    assert.equal("refused", thief:recv(10)[2])
    local flood <close> = assert(mproc.Client(key)) -- who does not read what it asks for
    flood:send({ 1, "create", 0, "Counter", mproc.encode({ n = 0 }) })
    local id = flood:recv(10)[3]
    for i = 1, 200 do
      if not flood:send({ i, "call", id, "many", mproc.encode({ n = 1, ("x"):rep(1 << 20) }) }, 0.02) then
        break
      end
    end
    assert.equal(1, c:add(1))
    local far <close> = assert(connect(m))
    assert.equal(1, far:create("Counter"):add(1))
    silent:close()
  end)
end)
