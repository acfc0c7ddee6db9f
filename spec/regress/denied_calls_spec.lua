-- SPDX-License-Identifier: MIT
-- Containers deny system calls by seccomp; mproc could not be loaded, or could not end its children, where they did.

local program = require("spec.support.program")

local PROGRAM = [[
  local hostile = require("hostile")
  assert(hostile.deny(%d, %s))
  local mproc = require("mproc")
  local queue = mproc.Queue()
  local process = mproc.Process(function() queue:put(("x"):rep(3000000)) return math.random(1 << 40) end):start()
  print(#queue:get(20), math.type(process:result(20)))

  local sleeper = mproc.Process(function() mproc.sleep(60) end):start()
  sleeper:terminate()
  print("terminate", sleeper:join(20), sleeper.exitcode)
  local stopped = mproc.Process(function() mproc.sleep(60) end):start()
  local killer = mproc.Process(function() stopped:terminate() return "sent" end):start()
  print("kill by another", killer:result(20), stopped:join(20), stopped.exitcode)

  local pool <close> = mproc.Pool(2)
  print(table.concat(pool:map(function(x) return x * x end, { 1, 2, 3 }), " "))
  local future = pool:submit(function() os.exit(7) end)
  print(pcall(future.get, future, 20))
]]

local EXPECTED = "^3000000\tinteger\nterminate\ttrue\t%-15\nkill by another\tsent\ttrue\t%-15\n1 4 9\nfalse\t"

local NAMED = [[
  local hostile = require("hostile")
  local mproc = require("mproc")
  local name = "mproc_denied_" .. mproc.getpid()
  assert(hostile.deny(38, "linkat"))
  local options = { name = name, size = 10000, create = true }
  local m = assert(mproc.SharedMemory(options))
  print(#m, select(3, mproc.SharedMemory(options)), mproc.SharedMemory({ name = name }) == m, m:unlink())
  options.size = 1 << 62
  print(select(3, mproc.SharedMemory(options)), mproc.SharedMemory({ name = name }))
]]

describe("a system that denies", function()
  it("to give a file its name can have shared memory with a name all the same", function()
    local result = program.text(NAMED, { seconds = 60 })
    assert.truthy(result.out:find("^10000\tEEXIST\ttrue\ttrue\nE%u+\tnil"), result.out .. result.err)
  end)

  local EPERM, ENOSYS = 1, 38
  for _, case in ipairs({
    { ENOSYS, "memfd_create" }, { EPERM, "memfd_create" },
    { ENOSYS, "getrandom" }, { EPERM, "getrandom" },
    { ENOSYS, "pidfd_send_signal" }, { EPERM, "pidfd_send_signal" },
    { EPERM, "pidfd_open", "pidfd_send_signal" },
    { EPERM, "memfd_create", "getrandom", "pidfd_open", "pidfd_send_signal" },
  }) do
    local calls = table.concat(case, " and ", 2)
    it(("%s (errno %d) can be used all the same"):format(calls, case[1]), function()
      local names = {}
      for i = 2, #case do names[#names + 1] = ("%q"):format(case[i]) end
      local r = program.text(PROGRAM:format(case[1], table.concat(names, ", ")), { seconds = 60 })
      assert.truthy(r.out:find(EXPECTED), r.out .. r.err)
    end)
  end

  it("nothing finds that the calls are really denied in these specs", function()
    local r = program.text([[
      local hostile = require("hostile")
      assert(hostile.deny(1, "pidfd_open"))
      local mproc = require("mproc")
      local p = mproc.Process(function() mproc.sleep(60) end):start()
      print(pcall(p.fileno, p))
      p:kill()
    ]])
    assert.truthy(r.out:find("not permitted", 1, true) or r.out:find("EPERM", 1, true), r.out .. r.err)
  end)
end)
