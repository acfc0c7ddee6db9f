-- SPDX-License-Identifier: MIT
-- Listener and Client among ourselves: addresses, keys, values, time-outs, ends, and event loops.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local lfs = require("lfs")
local mproc = require("mproc")
local proc = require("spec.support.proc")

local SECONDS = 60

local start, finish = children.start, children.finish

describe("sockets", function()
  leaks.watch()

  -- Runs client(connection) in a child and server(connection) here; what the child returns.
  local function meet(options, client_options, client, server)
    local listener <close> = assert(mproc.Listener(options))
    client_options.address = listener.address
    local p = start(function()
      local c <close> = assert(mproc.Client(client_options))
      return client(c)
    end)
    do
      local c <close> = assert(listener:accept(SECONDS))
      server(c)
    end
    return children.results(p)
  end

  local VALUES = { 0, -1.5, "", "bytes\0\xff", true, false, { 1, { x = "y" } }, ("long"):rep(50000) }

  for _, address in ipairs({ "127.0.0.1:0", "localhost:0", "@mproc-spec", "path" }) do
    it("carry values both ways: " .. address, function()
      local path = address == "path" and os.tmpname()
      if path then
        os.remove(path)
        address = path
      end
      local n = meet({ address = address }, {}, function(c)
        local count = 0
        for value in function() return c:recv() end do
          if value == "over" then break end
          c:send(value)
          count = count + 1
        end
        return count
      end, function(c)
        for _, v in ipairs(VALUES) do
          if v ~= false then
            assert.is_true(c:send(v))
            assert.same(v, c:recv(SECONDS))
          end
        end
        c:send("over")
        assert.same({ nil, "closed" }, { c:recv(SECONDS) })
        assert.has_error(function() for _ = 1, 100 do c:send(("x"):rep(1000)) end end)
      end)
      assert.equal(#VALUES - 1, n)
      if path then
        assert.is_nil(lfs.attributes(path))
      end
    end)
  end

  it("carry IPv6", function()
    local listener, _, name = mproc.Listener({ address = "[::1]:0" })
    if not listener then
      assert.truthy(name == "EADDRNOTAVAIL" or name == "EAFNOSUPPORT")
      return
    end
    assert.matches("^%[::1%]:%d+$", listener.address)
    listener:close()
  end)

  it("tell who has come, and what they are", function()
    local listener <close> = assert(mproc.Listener({ address = "127.0.0.1:0" }))
    assert.matches("^127%.0%.0%.1:%d+$", listener.address)
    assert.equal("mproc.Listener: " .. listener.address, tostring(listener))
    assert.is_nil(listener.last_accepted)
    local p = start(function() mproc.Client({ address = listener.address }):recv() end)
    local c = assert(listener:accept(SECONDS))
    assert.matches("^127%.0%.0%.1:%d+$", listener.last_accepted)
    assert.equal("SocketConnection: with " .. listener.last_accepted, tostring(c))
    assert.is_true(c.readable and c.writable and not c.closed)
    c:close()
    c:close()
    assert.equal("SocketConnection: closed", tostring(c))
    assert.is_true(c.closed)
    blame.caller(function() c:send(1) end, "the connection is closed")
    finish(p)
  end)

  it("of a path are for their user alone", function()
    local path = os.tmpname()
    os.remove(path)
    local listener <close> = assert(mproc.Listener({ address = path }))
    assert.equal("rw-------", lfs.attributes(path, "permissions"))
    local second, message, name = mproc.Listener({ address = path })
    assert.is_nil(second)
    assert.equal("EADDRINUSE", name)
    assert.truthy(message:find(path, 1, true))
    local p = start(function() listener:close() end) -- a child's close takes the name from nobody
    finish(p)
    assert.equal("socket", lfs.attributes(path, "mode"))
  end)

  describe("with keys", function()
    -- accept's results, beside those of a Client with that key in a child.
    local function refused(listener, options)
      options.address = listener.address
      local p = start(function()
        local _, message, name = mproc.Client(options)
        return message, name
      end)
      local c, message, name = listener:accept(SECONDS)
      assert.is_nil(c)
      assert.equal("EAUTH", name)
      local their_message, their_name = children.results(p)
      return message, their_message, their_name
    end

    it("that differ fail on both sides, by name, and the listener goes on", function()
      local listener <close> = assert(mproc.Listener({ authkey = "right key" }))
      local ours, theirs, name = refused(listener, { authkey = "wrong key" })
      assert.equal("EAUTH", name)
      for _, text in ipairs({ ours, theirs }) do
        assert.is_nil(text:find("right", 1, true))
        assert.is_nil(text:find("wrong", 1, true))
      end
      local p = start(function()
        return mproc.Client({ address = listener.address, authkey = "right key" }):recv()
      end)
      assert(listener:accept(SECONDS)):send("in")
      assert.equal("in", children.results(p))
    end)

    it("are the tree's by default, or those of a process", function()
      local main = mproc.current_process()
      local key = main.authkey
      assert.equal(32, #key)
      local same, own, inherited = children.results(start(function()
        local me = mproc.current_process()
        local first = me.authkey
        me.authkey = "other"
        return first == key, me.authkey, children.results(start(function() return mproc.current_process().authkey end))
      end))
      assert.is_true(same)
      assert.equal("other", own)
      assert.equal("other", inherited)
      assert.equal(key, main.authkey)
      local p = mproc.Process(function() return mproc.current_process().authkey end)
      assert.equal(key, p.authkey)
      p.authkey = "its own"
      assert.equal("its own", p.authkey)
      assert.equal("its own", children.results(p:start()))
      blame.caller(function() mproc.Process(print).authkey = "" end, "authkey must be a string with at least one byte")
      blame.caller(function() mproc.Process(print).authkey = 12345 end, "got a number")
    end)

    it("are never sent or shown", function()
      local main = mproc.current_process()
      assert.is_nil(tostring(main):find(main.authkey, 1, true))
      assert.is_nil(mproc.encode(main):find(main.authkey, 1, true))
      for key, value in pairs(main) do
        assert.not_equal(main.authkey, value, key)
      end
    end)

    it("may be left out by both", function()
      assert.equal("hello", meet({ address = "127.0.0.1:0", authkey = false }, { authkey = false },
        function(c) return c:recv() end, function(c) c:send("hello") end))
    end)

    it("that one side alone wants cost the other its time only", function()
      local listener <close> = assert(mproc.Listener({ authkey = false }))
      local began = mproc.time()
      local c, message, name = mproc.Client({ address = listener.address, authkey = "x", timeout = 0.3 })
      assert.is_nil(c)
      assert.equal("ETIMEDOUT", name)
      assert.truthy(message:find("want a key", 1, true))
      assert.is_true(mproc.time() - began < 5)
    end)
  end)

  it("take functions, hooks and objects of the tree from the trusted alone", function()
    local q <close> = mproc.Queue()
    local closure = function() return "called" end
    for _, trusted in ipairs({ false, true }) do
      meet({ trusted = trusted }, { trusted = true }, function(c)
        c:send(closure)
        c:send("after")
        c:recv()
      end, function(c)
        local got, message, name = c:recv(SECONDS)
        if trusted then
          assert.equal("called", got())
          c:send(q)
        else
          assert.is_nil(got)
          assert.equal("EBADMSG", name)
          assert.truthy(message)
          blame.caller(function() c:send(closure) end, "cannot send", "trusted = true")
          blame.caller(function() c:send({ q }) end, "cannot send", "trusted = true")
          c:send(1)
        end
        assert.equal("after", c:recv(SECONDS))
      end)
    end
  end)

  it("refuse what is longer than max_bytes, and end", function()
    meet({ max_bytes = 1000 }, {}, function(c)
      c:send_bytes(("x"):rep(1000))
      c:send_bytes(("x"):rep(1001))
      c:recv()
    end, function(c)
      assert.equal(1000, #c:recv_bytes(nil, SECONDS))
      for _ = 1, 2 do
        local got, message, name = c:recv_bytes(nil, SECONDS)
        assert.is_nil(got)
        assert.equal("EMSGSIZE", name)
        assert.truthy(message:find("1001", 1, true))
      end
    end)
  end)

  it("keep a message that is longer than maxlength", function()
    meet({}, {}, function(c)
      c:send_bytes("0123456789", 2, -2)
      c:send_bytes("")
      c:recv()
    end, function(c)
      assert.is_true(c:poll(SECONDS))
      blame.caller(function() c:recv_bytes(7) end, "8 bytes, more than maxlength (7)")
      assert.equal("12345678", c:recv_bytes(8))
      assert.equal("", c:recv_bytes(0, SECONDS))
      assert.same({ false, "timeout" }, { c:poll() })
      assert.same({ nil, "timeout" }, { c:recv_bytes(nil, 0) })
      assert.same({ nil, "timeout" }, { c:recv(0.01) })
    end)
  end)

  it("have messages whole, whoever waits how long", function()
    local n, whole = meet({}, {}, function(c)
      local got, ok = 0, true
      while true do
        local s, word = c:recv_bytes(nil, 0.001)
        if s then
          got = got + 1
          ok = ok and s == ("%d "):format(got):rep(#s // #("%d "):format(got))
        elseif word == "closed" then
          return got, ok
        end
      end
    end, function(c)
      local sent = 0
      while sent < 60 do
        local text = ("%d "):format(sent + 1)
        if c:send_bytes(text:rep(200000 // #text), 1, -1, 0) then
          sent = sent + 1
        end
      end
    end)
    assert.equal(60, n)
    assert.is_true(whole)
  end)

  it("end when the other side is killed, and say so", function()
    local listener <close> = assert(mproc.Listener({ address = "127.0.0.1:0" }))
    local p = start(function()
      local c = assert(mproc.Client({ address = listener.address }))
      c:send("there")
      mproc.sleep(SECONDS)
    end)
    local c <close> = assert(listener:accept(SECONDS))
    assert.equal("there", c:recv(SECONDS))
    children.kill(p)
    assert.same({ nil, "closed" }, { c:recv(SECONDS) })
    assert.is_true(c:poll(0))
    local ok, message
    proc.until_true(function()
      ok, message = pcall(c.send, c, ("x"):rep(10000))
      return not ok
    end, "an error from send")
    assert.truthy(message:find("closed", 1, true))
  end)

  it("wait no longer than asked, and end for Ctrl-C", function()
    local listener <close> = assert(mproc.Listener({}))
    local began = mproc.time()
    assert.same({ nil, "timeout" }, { listener:accept(0) })
    assert.same({ nil, "timeout" }, { listener:accept(0.05) })
    assert.is_true(mproc.time() - began < 5)
    local ready = mproc.Event()
    local p = start(function()
      ready:set()
      listener:accept()
    end)
    ready:wait(SECONDS)
    proc.wait_asleep(p.pid)
    p:interrupt()
    assert.equal(-2, children.reap(p))
  end)

  it("are waited for with others", function()
    local listener <close> = assert(mproc.Listener({}))
    local q <close> = mproc.Queue()
    assert.same({}, (mproc.wait({ listener, q }, 0)))
    local go = mproc.Event()
    local p = start(function()
      local c = assert(mproc.Client({ address = listener.address }))
      go:wait(SECONDS)
      c:send("x")
      c:recv()
    end)
    assert.equal(listener, mproc.wait({ q, listener }, SECONDS)[1])
    local c
    repeat
      mproc.wait({ listener }, SECONDS)
      c = listener:accept(0)
    until c
    assert.same({}, (mproc.wait({ c, q }, 0)))
    go:set()
    assert.equal(c, mproc.wait({ c, q }, SECONDS)[1])
    assert.equal("x", c:recv(0))
    c:close()
    finish(p)
  end)

  it("say what is wrong with their options", function()
    for _, bad in ipairs({ "nowhere", "host:99999", "::1:80", "host:", 12 }) do
      blame.caller(function() mproc.Client({ address = bad }) end, "address must be")
      blame.caller(function() mproc.Listener({ address = bad }) end, "address must be")
    end
    blame.caller(function() mproc.Client({}) end, "address must be")
    blame.caller(function() mproc.Client() end, "Client takes a table of options")
    blame.caller(function() mproc.Listener({ adress = "@x" }) end, "unknown option", "address")
    blame.caller(function() mproc.Listener({ authkey = "" }) end, "authkey", "at least one byte")
    blame.caller(function() mproc.Listener({ authkey = true }) end, "authkey", "a boolean")
    blame.caller(function() mproc.Listener({ backlog = 0 }) end, "backlog")
    blame.caller(function() mproc.Listener({ max_bytes = 0 }) end, "max_bytes")
    blame.caller(function() mproc.Listener({ trusted = 1 }) end, "trusted must be true or false")
    local closed = mproc.Listener({})
    closed:close()
    closed:close()
    blame.caller(function() closed:accept(0) end, "the listener is closed")
    assert.equal("mproc.Listener: closed", tostring(closed))
    local _, _, name = mproc.Client({ address = "@mproc-nobody-listens" })
    assert.equal("ECONNREFUSED", name)
    blame.caller(function() mproc.Queue():put(mproc.Listener({})) end, "send its address")
  end)
end)
