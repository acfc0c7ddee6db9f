-- SPDX-License-Identifier: MIT
-- The formats of entries.
local message = require "mproc.far.redis.message"

describe("a task entry", function()
  it("comes back as it was", function()
    local fields = message.task { k = 7, pool = "ab", f = "m.f", verb = "star", test = true, timeout = 0.1, retries = 3,
      n = 2, bytes = "xy" }
    for i = 1, #fields do
      fields[i] = tostring(fields[i]) -- as a server gives them
    end
    local task = assert(message.read_task("1-0", fields))
    assert.same({ "7", "ab", "m.f", 2, "xy", "7" }, { task.k, task.pool, task.f, task.n, task.bytes, task.label })
    assert.same({ verb = "star", test = true, no_result = false, timeout = 0.1, retries = 3 },
      message.read_mode(task.m))
  end)

  it("of an item knows its place, deaths and hosts", function()
    local task = message.read_task("1-0", { "k", "7", "p", "a", "f", "m.f", "m", "1m", "n", "1", "a", "", "o", "4", "d",
      "2", "h", "x,y" })
    assert.same({ "7:4", "4", 2, "x,y" }, { task.label, task.offset, task.deaths, task.hosts })
  end)

  it("of another version, or of nobody's, is told apart", function()
    local _, why = message.read_mode("2zz;future")
    assert.truthy(why:find("version 2, and this worker knows version 1", 1, true))
    _, why = message.read_mode("1q")
    assert.truthy(why:find("does not know", 1, true))
    assert.is_nil((message.read_task("1-0", { "k", "7" })))
    assert.is_nil((message.read_task("1-0", false)))
    local fields = message.task { k = 7, pool = "ab", f = "m.f", verb = "map", n = 1 << 40, bytes = "xy" }
    assert.is_nil((message.read_task("1-0", fields)))
  end)
end)

describe("a result entry", function()
  it("gives labels and records, and a hello nothing", function()
    local found = {}
    for k, offset, records in message.results { "hello", "x", "3", "a", "4:9", "b" } do
      found[#found + 1] = { k, offset, records }
    end
    assert.same({ { 3, nil, "a" }, { 4, 9, "b" } }, found)
  end)

  it("has a record for each item", function()
    assert.equal(message.record(2, 0, "e") .. message.record(2, 0, "e"), message.records(2, 2, "e"))
    local status, nanoseconds, bytes = message.RECORD:unpack(message.record(2, 5, "e"))
    assert.same({ 2, 5, "e" }, { status, nanoseconds, bytes })
  end)
end)

it("what a worker tells of itself comes back", function()
  local info = {
    processes = 4, prefetch = 2, done = 7, failed = 0, busy = 1.5, hand = 3, trip = 0.001, since = 12.5, at = "1-0",
    version = "7", host = "a;b=c",
  }
  local back = message.read_info(message.info(info))
  info.host = "a?b?c"
  assert.same(info, back)
end)
