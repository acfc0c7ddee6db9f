-- SPDX-License-Identifier: MIT
-- `make install` and `luarocks make` give the same working module, found nowhere but where it was installed.

local lfs = require("lfs")
local program = require("spec.support.program")

local SECONDS = 110

local function run(command)
  local result = program.shell(command, SECONDS)
  assert.equal(0, result.code, result.out .. result.err)
  return result
end

describe("installed", function()
  local tree, top

  before_each(function()
    top = lfs.currentdir()
    tree = os.tmpname()
    os.remove(tree)
    assert(lfs.mkdir(tree))
  end)

  after_each(function()
    os.execute("rm -rf " .. program.quote(tree))
  end)

  -- Runs the smoke program and an example away from the source tree, with nothing but `prefix` on the paths.
  local function assert_works(prefix)
    local share, lib = prefix .. "/share/lua/5.4", prefix .. "/lib/lua/5.4"
    local environment = ("cd / && LUA_PATH='%s/?.lua;%s/?/init.lua' LUA_CPATH='%s/?.so' %s "):format(
      share, share, lib, program.lua)
    local smoke = run(environment .. program.quote(top .. "/spec/support/smoke.lua")).out
    assert.truthy(smoke:find("smoke ok", 1, true), smoke)
    assert.truthy(smoke:find(share .. "/mproc/init.lua", 1, true), smoke)
    assert.truthy(smoke:find(lib .. "/mproc/core.so", 1, true), smoke)
    local example = run(environment .. program.quote(top .. "/examples/sum_powers.lua")).out
    assert.truthy(example:find("together", 1, true), example)
  end

  local function is_file(path)
    return lfs.attributes(path, "mode") == "file"
  end

  -- What lua-language-server is pointed at: a folder with the annotations and nothing else.
  local function assert_annotated(folder)
    local found = {}
    for name in lfs.dir(folder) do
      found[name] = is_file(folder .. "/" .. name) or nil
    end
    local expected = {}
    for name in lfs.dir("library") do
      expected[name] = is_file("library/" .. name) or nil
    end
    assert.truthy(expected["mproc.lua"])
    assert.same(expected, found)
  end

  -- `make` of the outer run must not hand its variables to this one.
  local function make(arguments)
    run("unset MAKEFLAGS MFLAGS MAKELEVEL; make " .. arguments)
  end

  local function exported(module)
    local names = {}
    for name in run("nm -D --defined-only " .. program.quote(module)).out:gmatch("%x+ %a ([%w_]+)") do
      names[#names + 1] = name
    end
    return names
  end

  it("by make install with a PREFIX", function()
    make("install PREFIX=" .. tree)
    assert_works(tree)
    assert_annotated(tree .. "/share/mproc/library")
    assert.truthy(is_file(tree .. "/share/man/man3/mproc.3"))
    assert.same({ "luaopen_mproc_core" }, exported(tree .. "/lib/lua/5.4/mproc/core.so"))
  end)

  it("by make install below a DESTDIR", function()
    make("install PREFIX=/opt/x DESTDIR=" .. tree)
    assert_works(tree .. "/opt/x")
  end)

  it("by luarocks make", function()
    -- LuaRocks writes its objects beside the sources: it gets a copy.
    local copy = tree .. "/copy"
    run(("mkdir %s && cp -r docs library src lua mproc-scm-1.rockspec LICENSE README.md %s"):format(copy, copy))
    run(("cd %s && luarocks --lua-version=5.4 make --deps-mode=none --tree %s/rocks"):format(copy, tree))
    assert_works(tree .. "/rocks")
    local rock = tree .. "/rocks/lib/luarocks/rocks-5.4/mproc/scm-1"
    assert_annotated(rock .. "/library")
    assert.truthy(is_file(rock .. "/docs/reference.md"))
    assert.same({ "luaopen_mproc_core" }, exported(tree .. "/rocks/lib/lua/5.4/mproc/core.so"))
  end)
end)
