-- SPDX-License-Identifier: MIT
-- `make install`, `luarocks make` and packed rocks give the same working module, found nowhere but where it was
-- installed. A build notices what came, went or moved.

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
    local paths = ("LUA_PATH='%s/?.lua;%s/?/init.lua' LUA_CPATH='%s/?.so'"):format(share, share, lib)
    local printed = run(("cd / && %s %s/bin/mproc run echo ::: it runs"):format(paths, prefix)).out
    assert.equal(#"it\nruns\n", #printed)
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
  local function clean(command)
    return "unset MAKEFLAGS MFLAGS MAKELEVEL; " .. command
  end

  local function make(arguments)
    return run(clean("make " .. arguments)).out
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
    assert.truthy(is_file(tree .. "/share/man/man1/mproc.1"))
    assert.truthy(is_file(tree .. "/share/bash-completion/completions/mproc"))
    assert.truthy(is_file(tree .. "/share/zsh/site-functions/_mproc"))
    assert.same({ "luaopen_mproc_core" }, exported(tree .. "/lib/lua/5.4/mproc/core.so"))
  end)

  it("by make install below a DESTDIR", function()
    make("install PREFIX=/opt/x DESTDIR=" .. tree)
    assert_works(tree .. "/opt/x")
  end)

  it("by make install over files of another version, which would be found first", function()
    local old = tree .. "/share/lua/5.4/mproc/pool.lua"
    run(("mkdir -p %s/share/lua/5.4/mproc && echo 'error(\"old\")' >%s"):format(tree, old))
    make("install PREFIX=" .. tree)
    assert_works(tree)
    make("uninstall PREFIX=" .. tree)
    assert.equal("", run(("find %s -name '*mproc*' -o -name '*.lua' -type f"):format(tree)).out)
  end)

  describe("from a copy of the sources", function()
    local copy

    -- LuaRocks and make write their objects into the tree: they get a copy.
    before_each(function()
      copy = tree .. "/copy"
      local parts = "Makefile mk bin completions docs library src lua scripts *.rockspec LICENSE"
      run(("mkdir %s && cp -r %s %s"):format(copy, parts, copy))
    end)

    local function luarocks(arguments)
      return clean(("cd %s && luarocks --lua-version=5.4 "):format(copy) .. arguments)
    end

    local function assert_rock(rocks)
      assert_works(rocks)
      local rock = rocks .. "/lib/luarocks/rocks-5.4/mproc/scm-1"
      assert_annotated(rock .. "/library")
      assert.truthy(is_file(rock .. "/docs/reference.md"))
      assert.same({ "luaopen_mproc_core" }, exported(rocks .. "/lib/lua/5.4/mproc/core.so"))
    end

    it("by luarocks make, and from the rock that it packs", function()
      run(luarocks("make --deps-mode=none --tree ../rocks"))
      assert_rock(tree .. "/rocks")
      run(luarocks("pack mproc --tree ../rocks"))
      run(luarocks("install --deps-mode=none --tree ../packed mproc-scm-1.*.rock"))
      assert_rock(tree .. "/packed")
    end)

    it("by luarocks from a source rock", function()
      run(("cd %s && git init -q && git add -A && git -c user.name=n -c user.email=e commit -qm x"):format(copy))
      run(clean(("cd %s && make rock"):format(copy)))
      run(luarocks("install --deps-mode=none --tree ../rocks CFLAGS=-O0 build/mproc-scm-1.src.rock"))
      assert_rock(tree .. "/rocks")
    end)

    it("by luarocks with its CFLAGS, LUA_INCDIR and LUA_LIBDIR", function()
      local settings = "CFLAGS='-O0 -DBY_LUAROCKS' LUA_LIBDIR=" .. tree
      local told = run(luarocks("make --deps-mode=none --tree ../rocks " .. settings)).out
      assert.truthy(told:find("-O0 -DBY_LUAROCKS", 1, true), told)
      assert.truthy(told:find("-L" .. tree, 1, true), told)
      assert_works(tree .. "/rocks")
      local include = tree .. "/include"
      run(("mkdir %s && printf '#define LUA_VERSION_NUM 504\\n#error ours\\n' | tee %s/lua.h >%s/lauxlib.h"):format(
        include, include, include))
      local refused = program.shell(luarocks("make --deps-mode=none --tree ../no LUA_INCDIR=" .. include), SECONDS)
      assert.not_equal(0, refused.code)
      assert.truthy(refused.err:find("#error ours", 1, true), refused.err)
    end)

    it("anew when a file moves or goes, and not when nothing changes", function()
      local command = clean(("make -C %s --no-print-directory CFLAGS=-O0"):format(copy))
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
      assert.truthy(run(command .. " CFLAGS=-O1").out:find("-O1", 1, true))
    end)
  end)
end)
