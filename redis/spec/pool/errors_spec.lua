-- SPDX-License-Identifier: MIT
-- What a pool over several machines refuses, and what it says of servers that refuse it. What needs no server is
-- asserted by the core's spec/pool/far_spec.lua.

local fleet = require("redis.spec.support.fleet")
local mproc = require("mproc")
local program = require("spec.support.program")
local server = require("redis.spec.support.server")
local tasks = require("redis.spec.support.tasks")

if not server.there() then
  pending("errors of pools: skipped, there is no redis-server here")
  return
end

describe("a pool at a server", function()
  local s, f
  setup(function()
    s = server.start()
    f = fleet.start(s.url, 1)
  end)
  teardown(function()
    f:stop()
    s:stop()
  end)

  local function error_of(g, ...)
    local ok, err = pcall(g, ...)
    assert.is_false(ok)
    return err
  end

  it("refuses addresses that are none, and never shows a password", function()
    for _, url in ipairs({ "redis://", "redis://host:0", "redis://u:secret@host/x", "redis://host?colour=red" }) do
      local err = error_of(mproc.Pool, { url = url })
      assert.matches("is no place of a queue", err, 1, true)
      assert.not_matches("secret", err)
    end
    local pool <close> = mproc.Pool{ url = s.url:gsub("//", "//default:secret@", 1) }
    assert.not_matches("secret", tostring(pool))
    pool:terminate()
  end)

  it("says which worker has not got a function, or may not run it", function()
    package.loaded.nowhere = { to_be_found = function() end }
    package.loaded["redis.spec.support.tasks"].new = function() end
    local pool <close> = mproc.Pool{ url = s.url }
    local err = error_of(pool.apply, pool, package.loaded.nowhere.to_be_found)
    assert.equal("unknown_function", err.kind)
    assert.matches("nowhere.to_be_found", tostring(err), 1, true)
    assert.matches(tostring(f.pids[1]), tostring(err), 1, true)
    err = error_of(pool.map, pool, tasks.new, { 1, 2 })
    assert.equal("unknown_function", err.kind)
    assert.matches("redis.spec.support.tasks", tostring(err), 1, true)
    package.loaded.nowhere, tasks.new = nil, nil
    assert.equal(4, pool:apply(tasks.double, { 2 }))
  end)

  it("has results that cannot leave their machine, or are too large, as errors of their items", function()
    local pool <close> = mproc.Pool{ url = s.url }
    assert.matches("a lock lives in one machine's memory", tostring(error_of(pool.apply, pool, tasks.lock)), 1, true)
    local err = error_of(pool.apply, pool, tasks.long, { 9 << 20 })
    assert.equal("too_large", err.kind)
    assert.matches("may have 8", tostring(err))
    assert.equal(1 << 20, #pool:apply(tasks.long, { 1 << 20 }))
  end)

  it("tells once on stderr that nobody works, and goes on when somebody does", function()
    local url = s.url:gsub("queue=spec", "queue=empty")
    local done = program.text(([[
      local mproc, tasks = require("mproc"), require("redis.spec.support.tasks")
      local pool <close> = mproc.Pool{ url = "%s" }
      local future = pool:submit(tasks.double, 21)
      assert(not future:wait(6.5))
      local fleet = require("redis.spec.support.fleet").start("%s", 1)
      print(future:get(20))
      fleet:stop()]]):format(url, url), { seconds = 40 })
    assert.equal("42\n", done.out)
    assert.equal("mproc: no worker has joined queue empty yet\n", done.err)
  end)

  it("gives up on a password that is wrong", function()
    s:call("ACL", "SETUSER", "owner", "on", ">right", "~*", "+@all")
    local pool <close> = mproc.Pool{ url = s.url:gsub("//", "//owner:secret@", 1) }
    local err = error_of(pool.apply, pool, tasks.double, { 1 })
    assert.equal("refused", err.kind)
    assert.matches("WRONGPASS", tostring(err))
    assert.not_matches("secret", tostring(err))
  end)

  it("gives up on a server that does not let it, or evicts", function()
    s:call("ACL", "SETUSER", "guest", "on", ">guest", "~other*", "+@all")
    local pool <close> = mproc.Pool{ url = s.url:gsub("//", "//guest:guest@", 1) }
    local err = error_of(pool.map, pool, tasks.double, { 1, 2 })
    assert.equal("refused", err.kind)
    assert.matches("NOPERM", tostring(err))
    s:call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    local other <close> = mproc.Pool{ url = s.url }
    err = error_of(other.apply, other, tasks.double, { 1 })
    s:call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert.equal("refused", err.kind)
    assert.matches("maxmemory-policy is allkeys-lru", tostring(err), 1, true)
  end)

  -- Sets the user up as the documents have it, for this queue; gives the address with it.
  local function documented(user)
    local rights, documents = {}, {}
    for i, path in ipairs({ "docs/several-machines.md", "examples/cluster/users.acl" }) do
      local file <close> = assert(io.open(path))
      documents[i] = file:read("a"):match("user " .. user .. " ([^\n]+)")
    end
    assert.equal(documents[1], documents[2])
    for word in documents[1]:gmatch("%S+") do
      rights[#rights + 1] = (word:gsub("{mp:render}", "{mp:spec}"))
    end
    s:call("ACL", "SETUSER", user, "reset", table.unpack(rights))
    return (s.url:gsub("//", ("//%s:%s-password@"):format(user, user), 1))
  end

  it("needs no more rights than the documents give owners and workers", function()
    f:stop()
    f = fleet.start(documented("worker"), 1)
    local pool <close> = mproc.Pool{ url = documented("owner") }
    assert.same({ 2, 4, 6 }, pool:map(tasks.double, { 1, 2, 3 }))
    local future = pool:submit(tasks.nap, 0.3)
    local other = pool:submit(tasks.double, 1)
    future:cancel()
    assert.equal(2, other:get(10))
  end)

  it("fails what is pending when the server stays away for longer than its patience", function()
    local away = server.start()
    local pool <close> = mproc.Pool{ url = away.url, patience = 1 }
    local future = pool:submit(tasks.double, 1)
    assert.is_false(future:wait(0.3))
    local began = mproc.time()
    away:kill()
    local err = future:exception(10)
    local took = mproc.time() - began
    assert.equal("disconnected", err.kind)
    assert.matches("away for 1 s and more %(patience%)", tostring(err))
    assert.is_true(took > 0.9 and took < 9, took)
    assert.equal("disconnected", error_of(pool.apply, pool, tasks.double, { 1 }).kind)
    away:restart()
    local workers <close> = setmetatable({}, { __close = function(self) self.of:stop() end })
    workers.of = fleet.start(away.url, 1)
    local deadline = mproc.time() + 15
    local ok, value
    repeat
      ok, value = pcall(pool.apply, pool, tasks.double, { 4 })
    until ok or mproc.time() > deadline
    assert.equal(8, value)
    away:stop()
  end)

  it("waits while the server is busy with somebody's script", function()
    local busy = server.start({ "--lua-time-limit", "50" })
    local workers = fleet.start(busy.url, 1)
    local pool <close> = mproc.Pool{ url = busy.url }
    assert.equal(2, pool:apply(tasks.double, { 1 }))
    local other = busy:session()
    other:call(5, "PING")
    other:send(nil, "EVAL", "while true do end", 0)
    other:flush()
    local deadline = mproc.time() + 20
    while pcall(busy.call, busy, "GET", "x") and mproc.time() < deadline do
      mproc.sleep(0.01)
    end
    local future = pool:submit(tasks.double, 21)
    assert.is_false(future:wait(1))
    local control = busy:session()
    repeat
      local killed = control:call(1, "SCRIPT", "KILL")
      mproc.sleep(0.01)
    until killed or mproc.time() > deadline
    control:close()
    other:close()
    assert.equal(42, future:get(20))
    workers:stop()
    pool:terminate()
    busy:stop()
  end)

  it("waits while the server's memory is full, and says so once", function()
    local full = server.start()
    full:call("SET", "ballast", ("x"):rep(8 << 20))
    full:call("CONFIG", "SET", "maxmemory", "5mb")
    local done = program.text(([[
      local mproc, tasks = require("mproc"), require("redis.spec.support.tasks")
      local pool <close> = mproc.Pool{ url = "%s" }
      local future = pool:map_async(tasks.all, { ("y"):rep(900000) })
      assert(not future:wait(1.5))
      local s = require("mproc.far.redis.session").new(require("mproc.far.redis.url").parse("%s"))
      s:call(5, "DEL", "ballast")
      local fleet = require("redis.spec.support.fleet").start("%s", 1)
      print(future:get(20)[1])
      fleet:stop()]]):format(full.url, full.url, full.url), { seconds = 40 })
    full:stop()
    assert.equal("1\n", done.out)
    assert.matches("takes no more tasks, which wait: OOM", done.err)
    assert.equal(1, select(2, done.err:gsub("\n", "")))
  end)
end)
