-- SPDX-License-Identifier: MIT
-- `make install` gives a working module, found nowhere but where it was installed.

local installed = require("spec.support.installed")

local assert_works, is_file, run = installed.assert_works, installed.is_file, installed.run

local function make(arguments)
  return run(installed.clean("make " .. arguments)).out
end

describe("installed", function()
  installed.folders()

  it("by make install with a PREFIX", function()
    make("install PREFIX=" .. installed.tree)
    assert_works(installed.tree)
    installed.assert_annotated(installed.tree .. "/share/mproc/library")
    assert.truthy(is_file(installed.tree .. "/share/man/man3/mproc.3"))
    assert.truthy(is_file(installed.tree .. "/share/man/man1/mproc.1"))
    assert.truthy(is_file(installed.tree .. "/share/bash-completion/completions/mproc"))
    assert.truthy(is_file(installed.tree .. "/share/zsh/site-functions/_mproc"))
    assert.same({ "luaopen_mproc_core" }, installed.exported(installed.tree .. "/lib/lua/5.4/mproc/core.so"))
  end)

  it("by make install below a DESTDIR", function()
    make("install PREFIX=/opt/x DESTDIR=" .. installed.tree)
    assert_works(installed.tree .. "/opt/x")
  end)

  it("by make install over files of another version, which would be found first", function()
    local old = installed.tree .. "/share/lua/5.4/mproc/pool.lua"
    run(("mkdir -p %s/share/lua/5.4/mproc && echo 'error(\"old\")' >%s"):format(installed.tree, old))
    make("install PREFIX=" .. installed.tree)
    assert_works(installed.tree)
    make("uninstall PREFIX=" .. installed.tree)
    assert.equal("", run(("find %s -name '*mproc*' -o -name '*.lua' -type f"):format(installed.tree)).out)
  end)
end)
