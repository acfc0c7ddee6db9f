-- SPDX-License-Identifier: MIT
-- What a worker program may run, when it fetches, and who is to blame for a death: without a server.
local allow = require "mproc.far.redis.worker.allow"
local link = require "mproc.far.redis.worker.link"
local mproc = require "mproc"
local suspects = require "mproc.far.redis.worker.suspects"

describe("--allow", function()
  local rows = {
    { "render.*", "render.frame", true }, { "render.*", "render.gpu.frame", false }, { "render.*", "renders.f", false },
    { "render.*", "render", false }, { "render.frame", "render.frame", true },
    { "render.frame", "render.frames", false },
    { "render.frame_*", "render.frame_a", true }, { "*.run", "jobs.run", true }, { "*.run", "a.jobs.run", false },
    { "*.*.*", "a.b.c", true }, { "my-mod.*", "my-mod.f", true }, { "*.*", "os.execute", false },
    { "os.*", "os.exit", false }, { "*.*", "_G.load", false }, { "*.*", "debug.sethook", false },
    { "*.*", "package.loadlib", false }, { "*.*", "io.popen", false }, { "a.*", "a.f()", false },
    { "a.*", "a.", false }, { "a.*", "a.f a.g", true }, { "a.*", "a.f b.g", false },
    { "a.*", "a./etc/passwd.f", false }, { "a.*", "../a.f", false },
  }
  for _, row in ipairs(rows) do
    it(("%s: %s %s"):format(row[1], row[2], row[3] and "may run" or "may not"), function()
      assert.equal(row[3], allow.matches({ assert(allow.compile(row[1])) }, row[2]) ~= nil
        and allow.matches({ assert(allow.compile(row[1])) }, row[2]) ~= false)
    end)
  end

  it("must name a field of a module", function()
    for _, text in ipairs { "", "render", "*", "render.", ".x", "a b.c", "render.%w" } do
      local pattern, wanted = allow.compile(text)
      assert.is_nil(pattern)
      assert.truthy(wanted:find("module.function", 1, true))
    end
  end)
end)

describe("a worker program fetches", function()
  -- A state that would fetch, but for what is changed in it; and what it has sent.
  local function state(changes)
    local sent = {}
    local w = {
      name = "me", reading = false, leaving = nil, group = true, leased_until = mproc.time() + 5, read_at = 0,
      processes = 2, prefetch = 3, inhand = 1, settled = 0, keys = { tasks = "t" },
      reads = { send = function(_, _, ...) sent[#sent + 1] = { ... } return true end },
    }
    for name, value in pairs(changes) do
      w[name] = value
    end
    return w, sent
  end

  it("as many as there is room for, one read at a time", function()
    local w, sent = state {}
    link.fetch(w)
    link.fetch(w)
    assert.equal(1, #sent)
    assert.same({ "XREADGROUP", "GROUP", "w", "me", "COUNT", 5 }, { table.unpack(sent[1], 1, 6) })
    w, sent = state { inhand = 4, settled = 2 }
    link.fetch(w, 1)
    assert.equal(3, sent[1][6])
  end)

  local rows = {
    { "while a read is outstanding", { reading = true } }, { "while it leaves", { leaving = 1 } },
    { "without the group", { group = false } }, { "when its last answered beat is older than the lease",
      { leased_until = mproc.time() - 0.01 } }, { "when its hands are full", { inhand = 6 } },
    { "just after an error", { read_at = mproc.time() + 100 } },
  }
  for _, row in ipairs(rows) do
    it("nothing " .. row[1], function()
      local w, sent = state(row[2])
      link.fetch(w)
      assert.same({}, sent)
    end)
  end
end)

describe("of what was in hand when a worker program died", function()
  it("all is charged until two have died, and then what it had told of", function()
    local function chunk(deaths)
      return { id = "1-0", task = { deaths = deaths } }
    end
    assert.is_true(suspects.is_to_blame(chunk(0), nil))
    assert.is_true(suspects.is_to_blame(chunk(1), { at = "9-9" }))
    assert.is_false(suspects.is_to_blame(chunk(2), { at = "9-9" }))
    assert.is_false(suspects.is_to_blame(chunk(2), nil))
    assert.is_true(suspects.is_to_blame(chunk(2), { at = "1-0" }))
  end)

  it("suspects run one at a time, each after the server was told", function()
    local ran, told = {}, {}
    local w = {
      suspects = {}, forget = function() end, tell_of = function(f) told[#told + 1] = f end,
      run = function(c) ran[#ran + 1] = c.id end,
    }
    local a, b = { id = "a", task = {} }, { id = "b", task = {} }
    suspects.add(w, a)
    suspects.add(w, b)
    assert.same({}, ran)
    told[1](true)
    assert.same({ "a" }, ran)
    assert.equal(1, #told)
    suspects.ended(w, a)
    told[2](true)
    assert.same({ "a", "b" }, ran)
    suspects.ended(w, b)
    assert.is_nil(w.suspect)
  end)

  it("one of which the server was not told does not run", function()
    local forgotten
    local w = { suspects = {}, tell_of = function(f) f(false) end, run = error,
      forget = function(c) forgotten = c.id end }
    suspects.add(w, { id = "a", task = {} })
    assert.equal("a", forgotten)
  end)
end)
