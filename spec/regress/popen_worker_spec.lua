-- SPDX-License-Identifier: MIT
-- A worker that took another's place inherited the writing end of a pipe that the program had opened since, so that
-- the reader never saw the end of its input: closing what io.popen(command, "w") gives waited for the pool.

local mproc = require("mproc")
local program = require("spec.support.program")

describe("a pipe that is written to, opened since the pool was made", function()
  for what, change in pairs({
    ["a worker's death"] = "pcall(pool.apply, pool, function() os.exit(3) end)",
    ["resize"] = "pool:resize(3)",
  }) do
    it("is closed at once, also behind " .. what, function()
      local r = program.text(([[
        local mproc = require("mproc")
        local pool = mproc.Pool(1)
        pool:apply(math.abs, { -1 })
        local file = io.popen("cat", "w")
        file:write("text")
        %s
        pool:map(math.abs, { -1, -2, -3, -4 }, 1) -- those that are new answer as well
        print(file:close())
        pool:join()
      ]]):format(change), { seconds = 10 })
      assert.is_false(r.timed_out)
      assert.equal("texttrue\texit\t0\n", r.out, r.err)
    end)
  end

  it("stays with the workers if it is older than the pool", function()
    local path = os.tmpname()
    local file = io.popen("cat >" .. path, "w")
    file:setvbuf("no")
    _G.popen_worker_file = file -- luacheck: ignore 122
    do
      local pool <close> = mproc.Pool(1)
      pcall(pool.apply, pool, function() os.exit(3) end)
      pool:apply(function() return (_G.popen_worker_file:write("by a worker") ~= nil) end)
    end
    _G.popen_worker_file = nil -- luacheck: ignore 122
    file:close()
    local copy <close> = assert(io.open(path))
    os.remove(path)
    assert.equal("by a worker", copy:read("a"))
  end)

  it("keeps its number in the worker, where its file closes it some day", function()
    local path = os.tmpname()
    local pool <close> = mproc.Pool({ processes = 1, maxtasksperchild = 1 })
    pool:apply(math.abs, { -1 })
    _G.popen_worker_file = io.popen("cat >/dev/null", "w") -- luacheck: ignore 122
    local function write(name)
      local files, failed = {}, {}
      for i = 1, 5 do -- one of them would get the number
        files[i] = assert(io.open(name, "w"))
        files[i]:setvbuf("no")
      end
      local had = _G.popen_worker_file ~= nil
      _G.popen_worker_file = nil -- luacheck: ignore 122
      collectgarbage()
      collectgarbage()
      for i, file in ipairs(files) do
        failed[#failed + 1] = not file:write("text") and i or nil
      end
      return had, #failed
    end
    local had, failed
    repeat -- until a worker is from after that
      had, failed = pool:apply(write, { path })
    until had
    assert.equal(0, failed)
    _G.popen_worker_file:close()
    _G.popen_worker_file = nil -- luacheck: ignore 122
    os.remove(path)
  end)
end)
