-- SPDX-License-Identifier: MIT
-- No text decides: an error whose words are those of Ctrl-C, of a lack of memory, of a call of nil, or of mproc's own
-- is an error like others, wherever it is raised, and reaches the call that it belongs to.

local program = require("spec.support.program")

local TEXTS = {
  "interrupted!", "it was interrupted! will retry", "not enough memory", "error in error handling",
  "attempt to call a nil value", "attempt to call a nil value (global 'f')",
  "attempt to yield across a C-call boundary",
  "cannot send args[1]: a file belongs to one process", "the pool is terminated: terminate() ended it",
  "the queue is closed", "timeout", "closed", "empty", "the arena is full; MPROC_ARENA", "worker_died",
  "stack overflow",
  "%s %d %", "", "\0", "a line\nstack traceback:\n\tanother",
}

-- Of those that are known not to hold yet.
local BROKEN = {
}

local PRELUDE = [[
  local mproc = require("mproc")
  local TEXT = %q
  local function raise() error(TEXT, 0) end
  local function says(ok, err) return not ok and tostring(err):find(TEXT, 1, true) == 1 end
  local function report(name, right) if not right then print(name) end end
]]

local PLACES = [[
  local pool = mproc.Pool(1)
  local function ten(x) return x * 10 end
  report("task", says(pcall(pool.apply, pool, raise)))
  report("map", says(pcall(pool.map, pool, raise, { 1, 2 })))
  report("future", says(false, pool:submit(raise):exception()))
  report("table", select(2, pcall(pool.apply, pool, function() error({ text = TEXT }) end)).text == TEXT)
  report("iterator", says(pcall(pool.map, pool, ten, raise)))
  report("callback", pool:apply_async(ten, { 2 }, nil, { callback = raise }):get() == 20)
  local told
  pool:apply_async(raise, {}, nil, { error_callback = function(err) told = err end }):wait()
  report("error_callback", says(false, told))
  local list = pool:map(ten, { 1, 2 }, { progress = function() error(TEXT, 0) end })
  report("progress", list[2] == 20)
  report("combine", says(pcall(pool.reduce, pool, ten, { 1, 2, 3, 4 }, raise)))
  local Class = { __mproc_encode = raise }
  mproc.register("words.Class", Class)
  local object = setmetatable({}, Class)
  local sent, refusal = pcall(pool.apply, pool, type, { object })
  report("encode hook", not sent and refusal:find(TEXT, 1, true)) -- behind the line of the call
  local q = mproc.Queue()
  report("encode hook of a queue", says(pcall(q.put, q, object)))
  local Late = { __mproc_encode = function() return {} end }
  mproc.register("words.Late", Late, { decode = raise })
  q:put(setmetatable({}, Late))
  report("decode hook", says(pcall(q.get, q)))
  report("still there", pool:apply(ten, { 3 }) == 30)
  report("join", pool:join(20))
  local bad = mproc.Pool{ processes = 1, initializer = raise }
  report("initializer", says(pcall(bad.apply, bad, ten, { 1 })))
  bad:terminate()
  local serial = mproc.Pool{ processes = 0, serial = true }
  report("serial task", says(pcall(serial.apply, serial, raise)))
  report("serial map", says(pcall(serial.map, serial, raise, { 1 })))
  local p = mproc.Process(raise):start()
  report("target", says(pcall(p.result, p)))
  report("exit code", p:join() and p.exitcode == 1)
  local l = mproc.Lock()
  report("with", says(pcall(l.with, l, raise)) and not l:locked())
  local v = mproc.Value("integer")
  report("update", says(pcall(v.update, v, raise)) and not v:lock():locked())
  local c = mproc.Condition()
  report("predicate", says(pcall(c.with, c, function() return c:wait_for(raise) end)) and not c:locked())
  local b = mproc.Barrier(1, raise)
  report("action", says(pcall(b.wait, b)))
  print("done")
]]

describe("an error whose text is", function()
  for _, text in ipairs(TEXTS) do
    local reason = not os.getenv("MPROC_FAULTS_PENDING") and BROKEN[text]
    local test, name = reason and pending or it, ("%q is an error like others"):format(text)
    test(reason and name .. ": " .. reason or name, function()
      local r = program.text(PRELUDE:format(text) .. PLACES, { seconds = 40 })
      assert.is_false(r.timed_out, r.out .. r.err)
      assert.equal("done\n", r.out, r.err)
      assert.equal(0, r.code, r.err)
    end)
  end

  it("\"interrupted!\" does not decide the exit status", function()
    local r = program.text(PRELUDE:format("it was interrupted!") .. [[
      local pool = mproc.Pool(1)
      pool:apply_async(type, { 1 }, nil, { callback = raise }):get()
      pcall(pool.apply, pool, raise)
      pool:join()
      error("a plain failure, later")
    ]])
    assert.equal(1, r.code, r.err)
  end)
end)
