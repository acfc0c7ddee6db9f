-- SPDX-License-Identifier: MIT
-- A build takes what lies in the folders, and notices what came, went or moved.

local installed = require("spec.support.installed")
local program = require("spec.support.program")

local run = installed.run

describe("a build", function()
  installed.folders()

  it("is made anew when a file moves or goes, and not when nothing changes", function()
    local copy = installed.copy()
    local command = installed.clean(("make -C %s --no-print-directory CFLAGS=-O0"):format(copy))
    run(command)
    assert.equal("", run(command).out)
    run(("mkdir %s/src/os/below && mv %s/src/os/cpu.c %s/src/os/below/"):format(copy, copy, copy))
    local moved = run(command).out
    assert.truthy(moved:find("below/cpu.o", 1, true), moved)
    assert.falsy(moved:find("src/os/cpu.o", 1, true), moved)
    run(("echo 'int mp_os_spare(void);' >%s/src/os/spare.c"):format(copy))
    assert.truthy(run(command).out:find("spare.o", 1, true))
    run(("rm %s/src/os/spare.c"):format(copy))
    local without = run(command).out
    assert.truthy(without:find("core.so", 1, true), without)
    assert.falsy(without:find("spare.o", 1, true), without)
    assert.truthy(run(command .. " CFLAGS=-O1 build/obj/src/os/pages.o").out:find("-O1", 1, true))
  end)

  it("for a Lua that mproc does not know says so, and compiles nothing", function()
    local copy, include = installed.copy(), installed.tree .. "/include"
    run(("mkdir %s && echo '#define LUA_VERSION_NUM 503' >%s/lua.h"):format(include, include))
    local r = program.shell(installed.clean(("make -C %s LUA_INCDIR=%s"):format(copy, include)), 60)
    assert.not_equal(0, r.code)
    assert.truthy(r.err:find('"mproc is for Lua 5.4 (from 5.4.4 on) and 5.5', 1, true), r.err)
    assert.falsy((r.out .. r.err):find("src/os", 1, true), r.out)
  end)
end)
