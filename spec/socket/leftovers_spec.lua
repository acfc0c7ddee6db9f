-- SPDX-License-Identifier: MIT
-- What is there with a name once a program has ended that used descriptors, sockets and managers, some of which were
-- killed: nothing in the abstract namespace of sockets, in its folder, or in /dev/shm. Each program has a network
-- namespace of its own, where that may be made, so that what others do is not seen.

local lfs = require("lfs")
local program = require("spec.support.program")

local SOURCE = [[
  local mproc = require("mproc")
  local folder = os.getenv("FOLDER")
  local function names() -- of the abstract namespace
    local list = {}
    for line in io.lines("/proc/net/unix") do
      list[#list + 1] = line:match("(@%S+)$")
    end
    return list
  end

  local q = mproc.Queue()
  q:put(mproc.fd(0))
  local p = mproc.Process(function()
    local d <close> = q:get()
    return d:fileno()
  end):start()
  assert(p:result(20))

  local kept, again = {}, {}
  for i, address in ipairs({ folder .. "/a", "@mproc-leftovers", folder .. "/b", "@mproc-leftovers-2" }) do
    if i <= 2 then
      local l = assert(mproc.Listener({ address = address }))
      kept[#kept + 1] = l
      local q = mproc.Process(function() assert(mproc.Client(l.address)):recv() end):start()
      local c <close> = assert(l:accept(20))
      q:kill()
      q:join()
    else
      local m = assert(mproc.Manager({ constructors = { C = function() return { get = mproc.getpid } end },
        address = address }))
      local far = assert(mproc.connect(m.address))
      again[#again + 1] = { m, far, far:create("C"), m:create("C") }
      os.execute("kill -KILL " .. m.pid) -- another one takes its place
      assert(not pcall(again[#again][4].get))
      m:shutdown()
      kept[#kept + 1] = assert(mproc.Manager({ objects = { o = { get = mproc.getpid } }, address = address }))
      assert(kept[#kept]:get("o"):get())
    end
  end
  assert(#names() >= 2, "there were to be some")
  assert(os.execute("test -S " .. folder .. "/a -a -S " .. folder .. "/b"))
  print("used")
  io.stdout:flush()
]]

local ENDS = {
  ["its end"] = "", ["an error"] = "error('the end')", ["os.exit"] = "os.exit(0)",
  ["os.exit, closing"] = "os.exit(0, true)",
}

-- Who has gone by SIGKILL removes no path; all else goes.
local KILLED = "os.execute('kill -KILL ' .. mproc.getpid())"

local function shared_memory()
  local list = {}
  for name in lfs.dir("/dev/shm") do
    list[#list + 1] = name:find("mproc", 1, true) and name or nil
  end
  return list
end

local may = program.shell("unshare -n true").code == 0

local function run(last)
  local folder, path = os.tmpname(), os.tmpname()
  os.remove(folder)
  assert(lfs.mkdir(folder))
  local file <close> = assert(io.open(path, "w"))
  file:write(SOURCE, last)
  file:close()
  local before = shared_memory()
  local r = program.shell(([[unshare -n sh -c 'FOLDER=%s %s %s
    for i in $(seq 100); do grep -q @ /proc/net/unix || break; sleep 0.05; done
    grep -o "@.*" /proc/net/unix; ls %s; rm -rf %s']]):format(folder, program.lua, path, folder, folder), 60)
  os.remove(path)
  assert.same(before, shared_memory())
  local told = r.err:gsub("Killed\n", "")
  return r.out .. (told:find("^[^\n]*lua[^\n]*the end\nstack traceback:\n") and "" or told)
end

describe("nothing with a name is left", function()
  for name, last in pairs(ENDS) do
    (may and it or pending)("after " .. name, function()
      assert.equal("used\n", run(last))
    end)
  end

  (may and it or pending)("after SIGKILL, but for paths", function()
    assert.equal("used\na\nb\n", run(KILLED))
  end)
end)
