-- SPDX-License-Identifier: MIT
-- What a kernel, a container or a chroot may lack was met by silence, or by a message about something else.

local program = require("spec.support.program")

-- Runs a program that has the core in its hands, for its files are out of reach where it loads it.
local function run(source)
  local prelude = [[
    local hostile = require("hostile")
    local open = assert(package.loadlib(package.searchpath("mproc.core", package.cpath), "luaopen_mproc_core"))
    local empty = os.tmpname()
    os.remove(empty)
    assert(os.execute("mkdir -p " .. empty .. "/proc"))
    local function bare(possible)
      if possible == false or not hostile.chroot(empty) then
        print("pending")
        os.exit(0)
      end
    end
  ]]
  local r = program.text(prelude .. source, { seconds = 60 })
  if r.out == "pending\n" then
    return pending("only root may change the root, and newer kernels give randomness without a call")
  end
  return r
end

describe("a system", function()
  it("without robust lists is refused, with the reason", function()
    for _, errno in ipairs({ 1, 38 }) do
      local r = program.text(([[
        assert(require("hostile").deny(%d, "get_robust_list"))
        for _ = 1, 2 do print(pcall(require, "mproc")) end
      ]]):format(errno))
      local _, times = r.out:gsub("false\tmproc needs a kernel with robust lists, and get_robust_list fails here", "")
      assert.equal(2, times, r.out .. r.err)
    end
  end)

  it("without randomness is refused, with the reason", function()
    local r = run([[
      assert(hostile.deny(1, "getrandom"))
      bare(not hostile.random())
      print(pcall(open, "mproc.core"))
    ]])
    if r then
      assert.matches("^false\t[^\n]*no randomness: getrandom is denied, and /dev/urandom is not there", r.out, r.err)
    end
  end)

  it("without /proc does all that needs none, and says what needs it", function()
    local r = run([[
      local mproc, cli = require("mproc"), require("mproc.cli")
      require("mproc.cli.top")
      bare()
      local pool = mproc.Pool(2)
      print(table.concat(pool:map(function(x) return x * x end, { 1, 2, 3 }), " "))
      pool:close()
      local p = mproc.Process(function() mproc.sleep(60) end):start()
      p:terminate{ tree = true }
      print(p:join(20), p.exitcode, mproc.cpu_count() >= 1)
      print(select(2, pcall(mproc.Pool, { processes = 1, maxmemoryperchild = 1 << 30 })))
      print(cli.main({ "top", "--once" }))
    ]])
    if r then
      assert.matches("^1 4 9\ntrue\t%-15\ttrue\n[^\n]*maxmemoryperchild needs /proc[^\n]*\n1\n$", r.out, r.err)
      assert.matches("top: there is no /proc here", r.err)
    end
  end)
end)
