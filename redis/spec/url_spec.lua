-- SPDX-License-Identifier: MIT
-- Addresses of queues.
local url = require "mproc.far.redis.url"

local function wrong(text)
  local target, message = url.parse(text)
  assert.is_nil(target)
  return message
end

describe("an address", function()
  local rows = {
    { "redis://h", { host = "h", port = 6379, db = 0, queue = "default", tls = false } },
    { "redis://h:7/3?queue=render", { host = "h", port = 7, db = 3, queue = "render" } },
    { "redis://h/?queue=render&version=7", { queue = "render@7", db = 0 } },
    { "redis://ann:s%40c%2Fret@h:7/1", { user = "ann", password = "s@c/ret", host = "h", db = 1 } },
    { "redis://:secret@h", { user = "", password = "secret" } },
    { "redis://[::1]:7", { host = "::1", port = 7 } },
    { "rediss://h?cafile=/a/b.pem", { tls = true, cafile = "/a/b.pem" } },
    { "redis+unix:///run/a%20b?db=2&queue=q", { path = "/run/a b", db = 2, queue = "q" } },
    { "redis+sentinel://a,b:7/main/2?queue=q", { master = "main", db = 2, queue = "q" } },
  }
  for _, row in ipairs(rows) do
    it("is read: " .. row[1], function()
      local target = assert(url.parse(row[1]))
      for name, value in pairs(row[2]) do
        assert.equal(value, target[name])
      end
    end)
  end

  it("names sentinels", function()
    assert.same({ { host = "a", port = 26379 }, { host = "b", port = 7 } },
      url.parse("redis+sentinel://a,b:7/main").sentinels)
  end)

  it("is shown without user and password", function()
    assert.equal("redis://h:7/3?queue=q", url.parse("redis://ann:secret@h:7/3?queue=q").shown)
    assert.equal("redis+sentinel://a,b/main?queue=default", url.parse("redis+sentinel://u:p@a,b/main").shown)
  end)

  it("gets the version that was asked for apart from it", function()
    assert.equal("q@9", url.parse("redis://h?queue=q&version=7", "9").queue)
    assert.equal("default@9", url.parse("redis://h", "9").queue)
  end)

  it("that cannot be read is told, and never a password with it", function()
    assert.truthy(wrong("http://h"):find("begins with none of"))
    assert.truthy(wrong("redis://"):find("no host"))
    assert.truthy(wrong("redis://h:99999"):find("no port 99999"))
    assert.truthy(wrong("redis://h/x"):find("no number of a database"))
    assert.truthy(wrong("redis://h?queu=a"):find("did you mean 'queue'"))
    assert.truthy(wrong("redis://h?queue={a}"):find("no name of a queue"))
    assert.truthy(wrong("redis+sentinel://h"):find("master's name is missing"))
    assert.truthy(wrong("redis+unix://"):find("path is missing"))
    for _, text in ipairs { "redis://u:se/cret@h", "redis://u:se?cret@h", "redis://u:se:cret@", "xx://u:secret@h" } do
      assert.is_nil(wrong(text):find("cret", 1, true))
    end
  end)
end)
