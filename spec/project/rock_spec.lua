-- SPDX-License-Identifier: MIT
-- `luarocks make`, the rock that it packs and a source rock give the same module as `make install`.

local installed = require("spec.support.installed")
local program = require("spec.support.program")

local assert_works, run = installed.assert_works, installed.run
local SECONDS = 110

describe("installed", function()
  installed.folders()

  local copy
  before_each(function()
    copy = installed.copy()
  end)

  local function luarocks(arguments)
    arguments = arguments:gsub("^make", "make mproc-scm-1.rockspec")
    return installed.clean(("cd %s && luarocks --lua-version=5.4 "):format(copy) .. arguments)
  end

  local function assert_rock(rocks, version)
    assert_works(rocks)
    local rock = rocks .. "/lib/luarocks/rocks-5.4/mproc/" .. (version or "scm-1")
    installed.assert_annotated(rock .. "/library")
    assert.truthy(installed.is_file(rock .. "/docs/reference.md"))
    assert.same({ "luaopen_mproc_core" }, installed.exported(rocks .. "/lib/lua/5.4/mproc/core.so"))
  end

  it("by luarocks make, and from the rock that it packs", function()
    run(luarocks("make --deps-mode=none --tree ../rocks CFLAGS=-O0"))
    assert_rock(installed.tree .. "/rocks")
    run(luarocks("pack mproc --tree ../rocks"))
    run(luarocks("install --deps-mode=none --tree ../packed mproc-scm-1.*.rock"))
    assert_rock(installed.tree .. "/packed")
  end)

  it("by luarocks from a release's source rock, without the repository", function()
    run(("cd %s && git init -q && git add -A && git -c user.name=n -c user.email=e commit -qm x"):format(copy))
    local dist, tarball = installed.clean(("cd %s && make dist"):format(copy)), copy .. "/build/dist/mproc-1.0.0.tar.gz"
    run(dist)
    local first = run("sha256sum " .. tarball).out
    run(("sleep 1.1 && rm -r %s/build/dist"):format(copy))
    run(dist)
    assert.equal(first, run("sha256sum " .. tarball).out)
    for _, rock in ipairs({ "mproc", "mproc-redis" }) do
      assert.truthy(installed.is_file(("%s/build/dist/%s-1.0.0-1.src.rock"):format(copy, rock)))
    end
    run(("mv %s/build/dist ../dist && rm -rf %s && mkdir %s"):format(copy, copy, copy):gsub("%.%./dist",
      installed.tree .. "/dist"))
    run(luarocks("install --deps-mode=none --tree ../rocks CFLAGS=-O0 ../dist/mproc-1.0.0-1.src.rock"))
    assert_rock(installed.tree .. "/rocks", "1.0.0-1")
  end)

  it("by luarocks with its CFLAGS, LUA_INCDIR and LUA_LIBDIR", function()
    local settings = "CFLAGS='-O0 -DBY_LUAROCKS' LUA_LIBDIR=" .. installed.tree
    local told = run(luarocks("make --deps-mode=none --tree ../rocks " .. settings)).out
    assert.truthy(told:find("-O0 -DBY_LUAROCKS", 1, true), told)
    assert.truthy(told:find("-L" .. installed.tree, 1, true), told)
    assert_works(installed.tree .. "/rocks")
    local include = installed.tree .. "/include"
    run(("mkdir %s && printf '#define LUA_VERSION_NUM 504\\n#error ours\\n' | tee %s/lua.h >%s/lauxlib.h"):format(
      include, include, include))
    local refused = program.shell(luarocks("make --deps-mode=none --tree ../no LUA_INCDIR=" .. include), SECONDS)
    assert.not_equal(0, refused.code)
    assert.truthy(refused.err:find("#error ours", 1, true), refused.err)
  end)
end)
