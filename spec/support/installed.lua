-- SPDX-License-Identifier: MIT
-- What specs of building and installing share: copies of the sources, and what an installed mproc must do.

local assert = require("luassert")
local busted = require("busted")
local lfs = require("lfs")
local program = require("spec.support.program")

local installed = {}

local SECONDS = 110
local PARTS = "Makefile mk bin completions docs library src lua redis scripts *.rockspec LICENSE"

-- Runs a shell command that must succeed.
function installed.run(command)
  local result = program.shell(command, SECONDS)
  assert.equal(0, result.code, result.out .. result.err)
  return result
end

local run = installed.run

-- An empty folder for each test of a block, gone after it: installed.tree. installed.top: that of the sources.
function installed.folders()
  busted.before_each(function()
    installed.top = lfs.currentdir()
    installed.tree = os.tmpname()
    os.remove(installed.tree)
    assert(lfs.mkdir(installed.tree))
  end)

  busted.after_each(function()
    os.execute("rm -rf " .. program.quote(installed.tree))
  end)
end

-- A copy of the sources below it: make and LuaRocks write their objects into the tree.
function installed.copy()
  local copy = installed.tree .. "/copy"
  run(("mkdir %s && cp -r %s %s"):format(copy, PARTS, copy))
  return copy
end

-- Runs the smoke program and an example away from the source tree, with nothing but `prefix` on the paths.
function installed.assert_works(prefix)
  local share, lib = prefix .. "/share/lua/5.4", prefix .. "/lib/lua/5.4"
  local environment = ("cd / && LUA_PATH='%s/?.lua;%s/?/init.lua' LUA_CPATH='%s/?.so' %s "):format(
    share, share, lib, program.lua)
  local smoke = run(environment .. program.quote(installed.top .. "/spec/support/smoke.lua")).out
  assert.truthy(smoke:find("smoke ok", 1, true), smoke)
  assert.truthy(smoke:find(share .. "/mproc/init.lua", 1, true), smoke)
  assert.truthy(smoke:find(lib .. "/mproc/core.so", 1, true), smoke)
  local paths = ("LUA_PATH='%s/?.lua;%s/?/init.lua' LUA_CPATH='%s/?.so'"):format(share, share, lib)
  local printed = run(("cd / && %s %s/bin/mproc run echo ::: it runs"):format(paths, prefix)).out
  assert.equal(#"it\nruns\n", #printed)
  local example = run(environment .. program.quote(installed.top .. "/examples/sum_powers.lua")).out
  assert.truthy(example:find("together", 1, true), example)
end

function installed.is_file(path)
  return lfs.attributes(path, "mode") == "file"
end

-- What lua-language-server is pointed at: a folder with the annotations and nothing else.
function installed.assert_annotated(folder)
  local found = {}
  for name in lfs.dir(folder) do
    found[name] = installed.is_file(folder .. "/" .. name) or nil
  end
  local expected = {}
  for name in lfs.dir("library") do
    expected[name] = installed.is_file("library/" .. name) or nil
  end
  assert.truthy(expected["mproc.lua"])
  assert.same(expected, found)
end

-- `make` of the outer run must not hand its variables to this one.
function installed.clean(command)
  return "unset MFLAGS MAKELEVEL; export MAKEFLAGS=-j2; " .. command
end

function installed.exported(module)
  local names = {}
  for name in run("nm -D --defined-only " .. program.quote(module)).out:gmatch("%x+ %a ([%w_]+)") do
    names[#names + 1] = name
  end
  return names
end

return installed
