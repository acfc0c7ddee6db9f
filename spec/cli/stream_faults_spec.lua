-- SPDX-License-Identifier: MIT
-- What may befall map, filter and reduce: a file that shrinks, a full disk, Ctrl-C.

local cli = require("spec.support.cli")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")

-- Runs the program in a process group of its own, and the rest of the script with its pid in $pid.
local function beside(arguments, rest)
  return cli.shell(("set -m; %s %s & pid=$!; %s"):format(cli.program, arguments, rest), 30)
end

describe("mproc's verbs for lines", function()
  leaks.watch()

  it("tell that a file has shrunk while it was read", function()
    local path = cli.write(cli.folder(finally) .. "/file", ("line\n"):rep(100))
    local result = cli.run("map", "-j1", "--block", 10, "io.open(file, 'w'):close() or line", path)
    assert.equal(1, result.code)
    assert.matches("has shrunk from 500 to 0 bytes", result.err)
  end)

  it("tell that the disk is full", function()
    local path = cli.write(cli.folder(finally) .. "/file", "1\n")
    for _, command in ipairs({ "map line", "filter line", "filter -c line", "reduce line" }) do
      local result = cli.shell(("mproc %s %s >/dev/full"):format(command, path))
      assert.equal(1, result.code, command)
      assert.matches("No space left", result.err, 1, true)
    end
  end)

  it("end with 130 at Ctrl-C, their workers with them, whatever these do", function()
    local folder = cli.folder(finally)
    local path = cli.write(folder .. "/file", "1\n")
    cli.write(folder .. "/loop.lua", ([[
      return function()
        io.open(%q, "w"):close()
        while true do end
      end]]):format(folder .. "/runs"))
    local result = beside(("map -f %s/loop.lua %s"):format(folder, path), ([[
      until [ -e %s/runs ]; do sleep 0.05; done
      kids=$(cat /proc/$pid/task/$pid/children)
      kill -INT $pid; wait $pid; echo $?
      sleep 0.5; for kid in $kids; do grep -qs mproc /proc/$kid/cmdline && echo left; done; true]]):format(folder))
    assert.equal("130\n", result.out)
  end)

  it("end at once at the second Ctrl-C", function()
    local folder = cli.folder(finally)
    local began = mproc.time()
    local result = beside("run -j1 'trap \"\" TERM INT; touch " .. folder .. "/runs; sleep 20 #' ::: 1", ([[
      until [ -e %s/runs ]; do sleep 0.05; done
      kill -INT $pid; sleep 0.2; kill -INT $pid 2>/dev/null; wait $pid; echo $?]]):format(folder))
    assert.equal("130\n", result.out)
    assert.is_true(mproc.time() - began < 15)
  end)
end)
