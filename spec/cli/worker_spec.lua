-- SPDX-License-Identifier: MIT
-- mproc worker and top with addresses, where the rock that knows them is not installed; its own specs are in redis/.
local cli = require "spec.support.cli"

describe("without the rock mproc-redis", function()
  local function run(words)
    local folder = cli.folder(finally)
    local hide = cli.write(folder .. "/hide.lua", [[
for _, name in ipairs({ "mproc.far.redis", "mproc.far.rediss" }) do
  package.preload[name] = function() error("no such rock", 0) end
end]])
    return cli.shell(("LUA_INIT=@%s mproc %s"):format(hide, words))
  end

  it("worker and top say which one is needed", function()
    for _, words in ipairs { "worker redis://h --allow 'a.*'", "worker --check rediss://h", "top redis://h" } do
      local got = run(words)
      assert.equal(2, got.code)
      assert.truthy(got.err:find("need the rock mproc-redis: luarocks install mproc-redis", 1, true), got.err)
    end
  end)

  it("an address of another kind is told, and a missing one", function()
    local got = run("worker nats://h --allow 'a.*'")
    assert.equal(2, got.code)
    assert.truthy(got.err:find("there is no engine for queues at nats://", 1, true))
    got = run("worker --allow 'a.*'")
    assert.equal(2, got.code)
    assert.truthy(got.err:find("URL must be the address of a queue", 1, true))
  end)

  it("--allow is asked for first", function()
    local got = run("worker redis://h")
    assert.equal(2, got.code)
    assert.truthy(got.err:find("--allow is missing", 1, true))
  end)
end)
