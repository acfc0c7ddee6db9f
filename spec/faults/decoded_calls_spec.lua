-- SPDX-License-Identifier: MIT
-- Bytes that claim to be objects: whatever they decode to without functions, every method of it may be called, and the
-- process lives on.

local program = require("spec.support.program")

local SEED = os.getenv("MP_SEED") or tostring(os.time())
local RUNS = os.getenv("MP_RUNS") or "8000"

local FORGE = [[
  local mproc, forge = require("mproc"), require("spec.support.forge")
  local lock = mproc.Lock()
  local objects = {
    mproc.Queue(), mproc.JoinableQueue(), mproc.SimpleQueue(), lock, mproc.RLock(), mproc.RWLock(), mproc.Semaphore(3),
    mproc.BoundedSemaphore(3), mproc.Event(), mproc.Barrier(2), mproc.Condition(), mproc.Condition(lock),
    mproc.Value("integer", 1), mproc.Array("uint8", 5), mproc.Array("double", 1000):lock(), mproc.Pipe(),
  }
  local kept = { mproc.Pipe(false) }
  table.move(kept, 1, 2, #objects + 1, objects)
  local child = mproc.Process({ target = function() mproc.sleep(100) end, daemon = true }):start()
  local handles = {}
  for _, object in ipairs(objects) do handles[#handles + 1] = forge.handle_of(object) end

  local seed, runs = %s, %s
  math.randomseed(seed)
  local make, decoded, calls = forge.new(math.random, handles), 0, 0
  print = function() end
  for _ = 1, runs do
    local bytes = make()
    local ok, value = pcall(mproc.decode, bytes)
    if ok and value ~= nil then
      decoded = decoded + 1
      local worked, count = pcall(forge.use, value, 2)
      if not worked then error("seed " .. seed .. ": " .. tostring(count) .. (" %%q"):format(bytes)) end
      calls = calls + count
    end
    if _ %% 100 == 0 then collectgarbage() end
  end
  io.write(decoded > runs / 4 and "decoded " or "too few decode: " .. decoded .. " ")
  io.write(calls > runs and "called " or "too few calls: " .. calls .. " ")
  local queue <close> = mproc.Queue()
  queue:put(1)
  io.write(queue:get(1) == 1 and child:is_alive() and "alive\n" or "broken\n")
  io.stdout:flush()
  os.exit(0)
]]

describe("bytes that claim to be objects", function()
  for _, size in ipairs({ "64M", "1T" }) do
    it("can be decoded, and everything called that they are, in an arena of " .. size, function()
      local r = program.text(FORGE:format(SEED, RUNS), { seconds = 100, env = "MPROC_ARENA=" .. size })
      assert.are.equal("decoded called alive\n", r.out, ("MP_SEED=%s: code %d\n%s"):format(SEED, r.code, r.err))
    end)
  end

  it("name processes that were never there", function()
    local r = program.text([[
      local mproc = require("mproc")
      local function peer(pid, ref)
        local bytes = "\xB1\23\22\8\10mproc.Peer\9\0\3" .. "\8\4name\8\1x" .. ("\8\3pid\6<i8"):sub(1, 6)
          .. ("<i8"):pack(pid) .. "\8\4_ref\6" .. ("<i8"):pack(ref)
        return assert(mproc.decode(bytes))
      end
      for bit = 0, 63 do
        local p = peer(1, 1 << bit | 1)
        assert(not p:is_alive() or bit < 12 or bit == 32, bit)
        pcall(p.join, p, 0)
        pcall(mproc.wait, { p }, 0)
        tostring(p)
      end
      print("alive")
    ]], { seconds = 20, env = "MPROC_ARENA=64M" })
    assert.are.equal("alive\n", r.out, r.err)
  end)
end)
