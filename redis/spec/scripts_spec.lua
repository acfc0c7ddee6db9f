-- SPDX-License-Identifier: MIT
-- The server's scripts, as tables of state, call, state; the "workers" are plain connections.
local keys = require "mproc.far.redis.keys"
local message = require "mproc.far.redis.message"
local mproc = require "mproc"
local server = require "redis.spec.support.server"

if not server.there() then
  pending("scripts: skipped, there is no redis-server here")
  return
end

local K = keys.of("spec")
local LEASE = 6
local NAMES = { "beat", "commit", "reap", "split", "cancel", "live" }

local s, c
setup(function()
  s = server.start()
  c = s:session { scripts = NAMES }
end)
teardown(function()
  c:close()
  s:stop()
end)

local function script(name, list, arguments)
  local got
  c:call(5, "PING")
  c:script(function(...) got = table.pack(...) end, name, list, arguments)
  c:call(5, "PING")
  assert(got, "no answer")
  return table.unpack(got, 1, got.n)
end

local function beat(worker, lease, ...)
  return script("beat", { K.tasks, K.workers, K.info, ... }, { worker, lease or LEASE, "info" })
end

local function reap(worker, room, lease)
  return script("reap", { K.tasks, K.workers, K.info }, { worker, room or 100, lease or 0 })
end

-- A chunk of n items, which that worker fetches if it is named: its id.
local function task(k, n, worker)
  local fields = message.task { k = k, pool = "p", f = "m.f", verb = "map", n = n or 1,
    bytes = ("a"):rep(n or 1) .. k }
  local id = s:call("XADD", K.tasks, "*", table.unpack(fields))
  if worker then
    s:call("XREADGROUP", "GROUP", "w", worker, "COUNT", 1, "STREAMS", K.tasks, ">")
  end
  return id
end

local function pending_of(worker)
  local ids = {}
  for i, each in ipairs(s:call("XPENDING", K.tasks, "w", "-", "+", 100, worker)) do
    ids[i] = each[1]
  end
  return ids
end

local function consumers()
  local names = {}
  for i, flat in ipairs(s:call("XINFO", "CONSUMERS", K.tasks, "w")) do
    names[i] = flat[2]
  end
  table.sort(names)
  return names
end

-- A worker whose lease is over, as the server's clock has it.
local function dead(worker)
  s:call("ZADD", K.workers, "1.5", worker)
end

before_each(function()
  s:call("FLUSHALL")
  s:call("XGROUP", "CREATE", K.tasks, "w", "0", "MKSTREAM")
end)

describe("beat", function()
  it("leases by the server's clock, keeps what is told, and names the pools that are gone", function()
    s:call("XADD", K.result("here"), "*", "hello", 1)
    local answer = beat("a", LEASE, K.result("here"), K.result("gone"))
    assert.same({ K.result("gone") }, answer[2])
    local now, ends = tonumber(s:call("TIME")[1]), tonumber(s:call("ZSCORE", K.workers, "a"))
    assert.is_true(math.abs(ends - now - LEASE) < 2)
    assert.is_true(math.abs(tonumber(answer[1]) - now) < 2)
    assert.equal("info", s:call("HGET", K.info, "a"))
  end)

  it("with a lease of 0 leaves in order", function()
    beat("a", 0)
    assert.equal(0, tonumber(s:call("ZSCORE", K.workers, "a")))
    assert.same({}, consumers())
  end)

  it("makes the worker a consumer of the group, which it makes, too, and gives it nothing", function()
    local id = task(1, 1, "a")
    beat("a")
    beat("b")
    assert.same({ "a", "b" }, consumers())
    assert.same({ id, "a", 1 }, (function(each) return { each[1], each[2], each[4] } end)(
      s:call("XPENDING", K.tasks, "w", "-", "+", 9)[1]))
    s:call("DEL", K.tasks)
    beat("a")
    assert.same({ "a" }, consumers())
  end)

  it("makes one that a server which was killed knows again", function()
    local own = server.start({ "--appendonly", "yes" })
    local one = own:session({ scripts = { "beat" } })
    one:call(5, "PING")
    one:script(nil, "beat", { K.tasks, K.workers, K.info }, { "a", LEASE, "info" })
    one:call(5, "PING")
    one:close()
    own:kill()
    own:restart()
    assert.equal("a", own:call("XINFO", "CONSUMERS", K.tasks, "w")[1][2])
    own:stop()
  end)

  it("is heard by a server that is full", function()
    task(1, 1)
    s:call("XGROUP", "DESTROY", K.tasks, "w")
    s:call("CONFIG", "SET", "maxmemory", "1")
    local told, answer = pcall(beat, "a")
    s:call("CONFIG", "SET", "maxmemory", "0")
    assert.is_true(told, answer)
    assert.is_table(answer)
    assert.same({ "a" }, consumers())
    assert.truthy(s:call("ZSCORE", K.workers, "a"))
  end)
end)

describe("live", function()
  it("makes a stream that expires, and puts its end off", function()
    local function live(most)
      assert.equal(1, script("live", { K.result("p") }, { "hello", most }))
      return s:call("PTTL", K.result("p"))
    end
    local left = live(5000)
    assert.is_true(left > 0 and left <= 5000, left)
    assert.is_true(live(60000) > 5000)
    assert.equal("hello", s:call("XRANGE", K.result("p"), "-", "+")[1][2][1])
  end)
end)

describe("commit", function()
  local function commit(...)
    return script("commit", { K.tasks, K.result("p") }, { ... })
  end

  local rows = {
    -- what it is, whether the owner lives, chunks in hand, labels that are committed, answer, labels there
    { "takes all at once", true, 3, { 1, 2, 3 }, 0, { "1", "2", "3" } },
    { "refuses what was committed already", true, 2, { 1, 1, 2 }, 1, { "1", "2" } },
    { "refuses what is not in hand", true, 1, { 1, 9 }, 1, { "1" } },
    { "writes nothing when all is refused", true, 1, { 9 }, 1, {} },
    { "of a pool that is gone deletes all", false, 2, { 1, 2 }, -1, {} },
  }
  for _, row in ipairs(rows) do
    it(row[1], function()
      local ids, arguments = { [9] = "9-9" }, {}
      if row[2] then
        s:call("XADD", K.result("p"), "*", "hello", 1)
      end
      for k = 1, row[3] do
        ids[k] = task(k, 1, "a")
      end
      for _, k in ipairs(row[4]) do
        table.move({ ids[k], tostring(k), "bytes" .. k }, 1, 3, #arguments + 1, arguments)
      end
      assert.equal(row[5], commit(table.unpack(arguments)))
      local labels = {}
      for _, entry in ipairs(s:call("XRANGE", K.result("p"), "-", "+")) do
        for k, _, bytes in message.results(entry[2]) do
          labels[#labels + 1] = tostring(k)
          assert.equal("bytes" .. k, bytes)
        end
      end
      assert.same(row[6], labels)
      local left = row[4][1] == 9 and row[3] or 0
      assert.equal(left, s:call("XLEN", K.tasks))
      assert.equal(left, #pending_of("a"))
      assert.equal(row[2] and 1 or 0, s:call("EXISTS", K.result("p")))
    end)
  end

  it("of one entry by two workers counts once, whoever is first", function()
    s:call("XADD", K.result("p"), "*", "hello", 1)
    local id = task(1, 1, "a")
    dead("a")
    assert.equal(id, reap("b")[1][1])
    assert.equal(0, commit(id, "1", "late"))
    assert.equal(1, commit(id, "1", "new"))
    assert.equal(2, s:call("XLEN", K.result("p")))
  end)
end)

describe("reap", function()
  it("claims what the dead had, tells how many died of it, and takes them off once they have nothing", function()
    local first, second = task(1, 5, "a"), task(2, 1, "a")
    beat("b")
    dead("a")
    local got = reap("b", 1)
    assert.same({ { first, 1, "a" } }, { { got[1][1], got[1][3], got[1][4] } })
    assert.equal("1", message.read_task(first, got[1][2]).k)
    assert.same({ "a", "b" }, consumers())
    got = reap("b", 5)
    assert.same({ second }, { got[1][1] })
    assert.same({ "b" }, consumers())
    assert.is_false(s:call("ZSCORE", K.workers, "a"))
    assert.is_false(s:call("HGET", K.info, "a"))
    dead("b")
    got = reap("c")
    assert.same({ 2, 2 }, { got[1][3], got[2][3] })
  end)

  it("does not count who left in order", function()
    task(1, 1, "a")
    beat("a", 0)
    assert.equal(0, reap("b")[1][3])
    dead("b")
    assert.equal(1, reap("c")[1][3])
  end)

  it("leaves the living and the caller alone", function()
    task(1, 1, "a")
    task(2, 1, "b")
    beat("a")
    dead("b")
    assert.same({}, reap("b"))
    assert.same({ "a", "b" }, consumers())
  end)

  it("finds one that no list names: a frozen worker's blocked read may be served late", function()
    local id = task(1, 1, "a") -- never beat
    assert.equal(id, reap("b")[1][1])
  end)

  it("answers nothing while somebody has just reaped", function()
    task(1, 1, "a")
    dead("a")
    reap("c", 0, LEASE)
    assert.same({}, reap("b", 100, LEASE))
    s:call("HSET", K.info, "reaped", "1")
    assert.equal(1, #reap("b", 100, LEASE))
    s:call("HSET", K.info, "reaped", "99999999999") -- the server's clock was put back
    assert.same({}, reap("b", 100, LEASE))
    assert.is_true(tonumber(s:call("HGET", K.info, "reaped")) < 9e9)
  end)

  it("forgets an entry that was deleted while it was in hand", function()
    local id = task(1, 1, "a")
    s:call("XDEL", K.tasks, id)
    dead("a")
    assert.same({}, reap("b"))
    assert.same({}, pending_of("a"))
    assert.same({}, consumers())
  end)

  it("of the last one that leaves in order leaves no key", function()
    task(1, 1, "a")
    s:call("XADD", K.result("p"), "*", "hello", 1)
    script("commit", { K.tasks, K.result("p") }, { s:call("XRANGE", K.tasks, "-", "+")[1][1], "1", "x" })
    s:call("DEL", K.result("p"))
    beat("a", 0)
    reap("a", 0)
    assert.same({}, s:keys())
  end)

  it("keeps tasks that nobody has fetched", function()
    task(1, 1, "a")
    s:call("XACK", K.tasks, "w", (s:call("XRANGE", K.tasks, "-", "+")[1][1]))
    beat("a", 0)
    reap("a", 0)
    assert.equal(1, s:call("XLEN", K.tasks))
  end)
end)

describe("split", function()
  it("puts an entry for each item in the place of a chunk", function()
    local id = task(7, 3, "a")
    local function split()
      return script("split", { K.tasks }, { id, "7", "p", "m.f", "1m", "4", "2", "x,y", "1", "3", "one", "two",
        "three" })
    end
    assert.equal(3, split())
    assert.equal(0, split())
    assert.same({}, pending_of("a"))
    local found = {}
    for i, entry in ipairs(s:call("XRANGE", K.tasks, "-", "+")) do
      local t = message.read_task(entry[1], entry[2])
      found[i] = { t.label, t.n, t.bytes, t.deaths, t.hosts }
    end
    assert.same({ "7:4", 1, "one", 2, "x,y" }, found[1])
    assert.same({ { "7:5", 1, "two", 2, "x,y" }, { "7:6", 1, "three", 2, "x,y" } }, { found[2], found[3] })
  end)

  it("puts one for some items each, the last of which may have fewer", function()
    local id = task(7, 8, "a")
    assert.equal(3, script("split", { K.tasks }, { id, "7", "p", "m.f", "1m", "0", "1", "x", "3", "8", "aaa", "bbb",
      "cc" }))
    local found = {}
    for i, entry in ipairs(s:call("XRANGE", K.tasks, "-", "+")) do
      local t = message.read_task(entry[1], entry[2])
      found[i] = { t.label, t.n }
    end
    assert.same({ { "7:0", 3 }, { "7:3", 3 }, { "7:6", 2 } }, found)
  end)
end)

describe("cancel", function()
  it("deletes what nobody has fetched, and tells the rest apart", function()
    local waiting = task(1)
    assert.equal(1, script("cancel", { K.tasks }, { waiting }))
    assert.equal(-1, script("cancel", { K.tasks }, { waiting }))
    assert.equal(0, script("cancel", { K.tasks }, { task(2, 1, "a") }))
    assert.equal(1, s:call("XLEN", K.tasks))
  end)

  it("needs no group", function()
    s:call("DEL", K.tasks)
    assert.equal(1, script("cancel", { K.tasks }, { task(1) }))
  end)
end)

-- What must fail, so that the rows above are worth something: each takes one thought out of a script.
describe("without its precaution", function()
  local scripts = require "mproc.far.redis.scripts"

  local function changed(name, from, to)
    local text, count = scripts[name]:gsub(from:gsub("%p", "%%%0"), (to:gsub("%%", "%%%%")))
    assert.equal(1, count, "the script has no such text")
    return function(list, arguments)
      local all = { "EVAL", text, #list }
      table.move(list, 1, #list, 4, all)
      table.move(arguments, 1, #arguments, 4 + #list, all)
      return s:call(table.unpack(all))
    end
  end

  it("commit gives two results: the test of XACK", function()
    local commit = changed("commit", [[if redis.call("XACK", KEYS[1], "w", ARGV[n]) == 1 then]],
      [[redis.call("XACK", KEYS[1], "w", ARGV[n]) if true then]])
    s:call("XADD", K.result("p"), "*", "hello", 1)
    local id = task(1, 1, "a")
    commit({ K.tasks, K.result("p") }, { id, "1", "x" })
    commit({ K.tasks, K.result("p") }, { id, "1", "x" })
    assert.equal(3, s:call("XLEN", K.result("p")))
  end)

  it("reap misses whom no list names: the group's consumers", function()
    local blind = changed("reap", [[if ends < now and c.name ~= caller and pending > 0]],
      [[if ends > -1 and ends < now and c.name ~= caller and pending > 0]])
    task(1, 1, "a")
    assert.same({}, blind({ K.tasks, K.workers, K.info }, { "b", 10, 0 }))
    assert.equal(1, #pending_of("a"))
  end)

  it("reap takes from the living: the lease", function()
    local greedy = changed("reap", [[if ends < now and c.name ~= caller and pending > 0]],
      [[if c.name ~= caller and pending > 0]])
    task(1, 1, "a")
    beat("a")
    assert.equal(1, #greedy({ K.tasks, K.workers, K.info }, { "b", 10, 0 }))
  end)

  it("reap loses tasks for good: no DELCONSUMER while there are pending ones", function()
    local careless = changed("reap", "if pending == 0 and ends < now", "if ends < now")
    local id = task(1, 1, "a")
    dead("a")
    careless({ K.tasks, K.workers, K.info }, { "b", 0, 0 })
    assert.same({}, s:call("XPENDING", K.tasks, "w", "-", "+", 10))
    assert.equal(id, s:call("XRANGE", K.tasks, "-", "+")[1][1])
    assert.equal(1, mproc.time() > 0 and s:call("XLEN", K.tasks))
  end)
end)
