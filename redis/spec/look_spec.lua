-- SPDX-License-Identifier: MIT
-- mproc top URL, mproc worker --check, and what the worker program refuses.
local json = require "mproc.cli.json"
local mproc = require "mproc"
local owner = require "redis.spec.support.owner"
local program = require "redis.spec.support.program"
local server = require "redis.spec.support.server"

if not server.there() then
  pending("looks: skipped, there is no redis-server here")
  return
end

-- The program's output, errors with it, and its exit status.
local function run(words)
  local text = server.output_of(("LUA_PATH='%s' timeout 20 %s bin/mproc %s 2>&1 </dev/null; echo \"\n$?\""):format(
    package.path, os.getenv("LUA") or "lua5.4", words))
  local said, status = text:match("^(.-)%s*(%d+)$")
  return said, tonumber(status)
end

local s
setup(function() s = server.start() end)
teardown(function() s:stop() end)
before_each(function() s:call("FLUSHALL") end)

describe("mproc top with an address", function()
  it("shows queue, workers and pools", function()
    local o = owner.new(s)
    local w = program.start(s.url, "-j 1 --allow 'far_tasks.*' --prefetch 2 --lease 1")
    o:values(o:map("double", { 1, 2, 3 }))
    for _ = 1, 5 do
      o:call("sleep", 3)
    end
    local deadline = mproc.time() + 5
    repeat
      mproc.sleep(0.05)
      local all = s:call("HGETALL", o.keys.info)
    until table.concat(all):find("done=3", 1, true) or mproc.time() > deadline
    local said, status = run(("top --once '%s'"):format(s.url))
    assert.equal(0, status)
    assert.equal(1, said:find(("queue spec  redis://127.0.0.1:%d?queue=spec"):format(s.port), 1, true), said)
    assert.truthy(said:find("5 chunks: 3 wait (the oldest for", 1, true), said)
    assert.truthy(said:find(":" .. w.pid .. ":", 1, true))
    assert.truthy(said:find(o.pool .. "  lives", 1, true))
    local one = json.decode((run(("top --json '%s'"):format(s.url))))
    assert.same({ 5, 3, 2 }, { one.length, one.waiting, one.hand })
    assert.same({ "lives", 1, 3, 2 }, { one.workers[1].state, one.workers[1].processes, one.workers[1].done,
      one.workers[1].hand })
    assert.is_true(one.workers[1].share <= 1.2)
    assert.same({ true, 5, 5 }, { one.pools[1].lives, one.pools[1].chunks, one.pools[1].items })
    o:vanish()
    w:stop()
  end)

  it("shows an empty queue, and says when there is no server", function()
    local said, status = run(("top --once '%s&version=9'"):format(s.url))
    assert.equal(0, status)
    assert.truthy(said:find("queue spec@9", 1, true))
    assert.truthy(said:find("no worker has joined", 1, true))
    s:call("ACL", "SETUSER", "blind", "on", ">blind", "~*", "+@all", "-zrange")
    said, status = run(("top --once '%s'"):format((s.url:gsub("//", "//blind:blind@", 1))))
    assert.equal(0, status)
    assert.truthy(said:find("this user may not see the workers", 1, true), said)
    said, status = run("top --once redis://127.0.0.1:1")
    assert.equal(1, status)
    assert.truthy(said:find("127.0.0.1:1: connection refused", 1, true))
  end)
end)

describe("mproc worker --check", function()
  it("tells of server, policy, rights and round trip, and leaves nothing", function()
    local said, status = run(("worker --check '%s'"):format(s.url))
    assert.equal(0, status)
    for _, text in ipairs { "queue       spec at", "server      redis ", "policy      noeviction", "aof         off",
      "rights      all that a worker needs", "round trip" } do
      assert.truthy(said:find(text, 1, true), said)
    end
    assert.same({}, s:keys())
  end)

  it("fails with what is wrong", function()
    s:call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    local said, status = run(("worker --check '%s'"):format(s.url))
    s:call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert.equal(1, status)
    assert.truthy(said:find("maxmemory-policy is allkeys-lru: the server would throw tasks away", 1, true))
    said, status = run("worker --check redis://127.0.0.1:1")
    assert.equal(1, status)
    assert.truthy(said:find("connection refused", 1, true))
  end)
end)

describe("mproc worker refuses", function()
  local rows = {
    { "a missing --allow", "redis://h", "--allow is missing", 2 },
    { "no address", "--allow 'a.*'", "URL must be the address of a queue", 2 },
    { "an address that is none", "http://h --allow 'a.*'", "there is no engine for queues at http://", 2 },
    { "a wrong address", "'redis://h?queu=a' --allow 'a.*'", "did you mean 'queue'", 2 },
    { "two addresses", "redis://h redis://g --allow 'a.*'", "one URL is wanted", 2 },
    { "a pattern that is none", "redis://h --allow 'render'", "--allow must be module.function", 2 },
    { "code that does not compile", "redis://h --allow 'a.*' --begin 'x ='", "--begin does not compile", 2 },
    { "a version with a blank", "redis://h --allow 'a.*' --version 'a b'", "--version must be letters", 2 },
  }
  for _, row in ipairs(rows) do
    it(row[1], function()
      local said, status = run("worker " .. row[2])
      assert.truthy(said:find(row[3], 1, true), said)
      assert.equal(row[4], status)
    end)
  end

  it("a server that would throw tasks away", function()
    s:call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    local said, status = run(("worker -j 1 --allow 'a.*' '%s'"):format(s.url))
    s:call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert.equal(1, status)
    assert.truthy(said:find("maxmemory-policy is allkeys-lru", 1, true), said)
  end)

  it("a password that is refused, which it does not print", function()
    local locked = server.start { "--requirepass", "right" }
    local said, status = run(("worker -j 1 --allow 'a.*' 'redis://:s3cret@127.0.0.1:%d'"):format(locked.port))
    assert.equal(1, status)
    assert.truthy(said:find("WRONGPASS", 1, true), said)
    assert.is_nil(said:find("s3cret", 1, true))
    said, status = run(("worker -j 1 --allow 'a.*' 'redis://127.0.0.1:%d'"):format(locked.port))
    assert.equal(1, status)
    assert.truthy(said:find("NOAUTH", 1, true), said)
    locked:stop()
  end)

  it("to go on when its processes do not start any more, and leaves its tasks to others", function()
    local flag = os.tmpname()
    local o = owner.new(s)
    local begin = ("--begin 'local f = io.open(%q) if not f then os.exit(3) end f:close()'"):format(flag)
    local w = program.start(s.url, "-j 1 --allow 'far_tasks.*' --lease 1 " .. begin)
    os.remove(flag)
    local k = o:map("leave_at_3", { 3, 1 })
    assert.is_true(w:ended(20))
    assert.truthy(w:text():find("its processes do not start", 1, true), w:text())
    local other = program.start(s.url, "-j 1 --allow 'far_tasks.*' --lease 1")
    o:await(10)
    assert.equal(1, o.found[k][2][1])
    o:vanish()
    w:stop()
    other:stop()
  end)

  it("code of --begin that raises", function()
    local said, status = run(("worker -j 1 --allow 'a.*' --begin 'error(\"mine\")' '%s'"):format(s.url))
    assert.equal(1, status)
    assert.truthy(said:find("mine", 1, true), said)
  end)
end)

describe("a worker program", function()
  it("takes its address from MPROC_URL, serves the queue of its version, and begins with --begin", function()
    local o = owner.new(s, "spec@7")
    local w = program.start(nil, "-j 1 --allow 'far_tasks.*' --version 7 --begin '_G.begun = 5'", "MPROC_URL=" .. s.url)
    assert.same({ 5 }, o:values(o:call("begun")))
    o:vanish()
    w:stop()
    assert.same({}, s:keys())
  end)
end)
