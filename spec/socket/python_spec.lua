-- SPDX-License-Identifier: MIT
-- Python's multiprocessing.connection on the other side, with and without keys. The Python here may be older than 3.12,
-- whose challenge names its digest; where it is, that challenge is put in place as 3.12 has it.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")

local SECONDS = 60

local has_python = os.execute("python3 -c 'import multiprocessing.connection' 2>/dev/null")

-- As python 3.12 and later do it, by the documentation of its protocol; for those before it.
local SHA256 = [[
import hmac, os, sys
import multiprocessing.connection as mc
def deliver(connection, authkey):
    message = b'{sha256}' + os.urandom(40)
    connection.send_bytes(b'#CHALLENGE#' + message)
    response = connection.recv_bytes(256)
    want = b'{sha256}' + hmac.new(authkey, message, 'sha256').digest()
    connection.send_bytes(b'#WELCOME#' if hmac.compare_digest(response, want) else b'#FAILURE#')
    if response != want: raise mc.AuthenticationError('digest received was wrong')
def answer(connection, authkey):
    message = connection.recv_bytes(256)
    assert message.startswith(b'#CHALLENGE#{sha256}'), message
    message = message[len(b'#CHALLENGE#'):]
    connection.send_bytes(b'{sha256}' + hmac.new(authkey, message, 'sha256').digest())
    if connection.recv_bytes(256) != b'#WELCOME#': raise mc.AuthenticationError('digest sent was rejected')
if sys.version_info < (3, 12):
    mc.deliver_challenge, mc.answer_challenge = deliver, answer
]]
local OLD = "import multiprocessing.connection as mc\nimport sys\n"

local CLIENT = [[
c = mc.Client(%s, authkey=%s)
for n in range(40):
    c.send_bytes(bytes([n]) * (n * n * n))
for n in range(40):
    assert c.recv_bytes() == bytes([255 - n]) * (n * n * n), n
c.close()
print('python is content')
]]

local SERVER = [[
l = mc.Listener(%s, authkey=%s)
a = l.address # bytes for the abstract namespace
print('@' + a[1:].decode() if isinstance(a, bytes) else a if isinstance(a, str) else '%%s:%%d' %% a, flush=True)
c = l.accept()
for n in range(40):
    assert c.recv_bytes() == bytes([n]) * (n * n * n), n
for n in range(40):
    c.send_bytes(bytes([255 - n]) * (n * n * n))
try:
    c.recv_bytes()
except EOFError:
    print('python is content')
]]

local function converse(c, from, to)
  for n = 0, 39 do
    assert.is_true(c:send_bytes(string.char(math.abs(from - n)):rep(n * n * n), 1, -1, SECONDS))
  end
  for n = 0, 39 do
    assert.equal(string.char(math.abs(to - n)):rep(n * n * n), c:recv_bytes(nil, SECONDS))
  end
end

describe("Python's", function()
  leaks.watch()

  local function python(source)
    local path = os.tmpname()
    local file <close> = assert(io.open(path, "w"))
    file:write(source)
    file:close()
    return assert(io.popen(("timeout %d python3 %s 2>&1; rm -f %s"):format(SECONDS, path, path))), path
  end

  -- Python's words for an address: a pair or a string.
  local function python_address(address)
    local host, port = address:match("^([%d.]+):(%d+)$")
    local plain = address:gsub("^@", "\\0")
    return host and ("('%s', %s)"):format(host, port) or ("'%s'"):format(plain)
  end

  local KINDS = {
    { "without keys", OLD, false, "None" },
    { "with a key, by SHA-256", SHA256, "the key", "b'the key'" },
    { "with a key, as before 3.12", OLD, "the key", "b'the key'", true },
  }

  for _, kind in ipairs(KINDS) do
    local name, prelude, key, python_key, allow_md5 = table.unpack(kind, 1, 5)
    for _, address in ipairs({ "127.0.0.1:0", "@mproc-python-spec" }) do
      it("Client is served " .. name .. ": " .. address, function()
        if not has_python then return pending("needs python3") end
        local listener <close> = assert(mproc.Listener({ address = address, authkey = key, allow_md5 = allow_md5 }))
        local out = python(prelude .. CLIENT:format(python_address(listener.address), python_key))
        local c <close> = assert(listener:accept(SECONDS))
        for n = 0, 39 do
          assert.equal(string.char(n):rep(n * n * n), c:recv_bytes(nil, SECONDS))
        end
        for n = 0, 39 do
          c:send_bytes(string.char(255 - n):rep(n * n * n))
        end
        assert.same({ nil, "closed" }, { c:recv_bytes(nil, SECONDS) })
        assert.equal("python is content\n", out:read("a"))
        out:close()
      end)

      it("Listener serves " .. name .. ": " .. address, function()
        if not has_python then return pending("needs python3") end
        local out = python(prelude .. SERVER:format(python_address(address), python_key))
        local theirs = out:read()
        do
          local c <close> = assert(mproc.Client({ address = theirs, authkey = key, allow_md5 = allow_md5 }))
          converse(c, 0, 255)
        end
        assert.equal("python is content\n", out:read("a"))
        out:close()
      end)
    end
  end

  it("MD5 is refused unless it is allowed, and named", function()
    if not has_python then return pending("needs python3") end
    local listener <close> = assert(mproc.Listener({ address = "127.0.0.1:0", authkey = "the key" }))
    local out = python(([[
import hmac
import multiprocessing.connection as mc
from multiprocessing.connection import Client
c = Client(%s)
challenge = c.recv_bytes(256)
assert challenge.startswith(b'#CHALLENGE#{sha256}')
c.send_bytes(hmac.new(b'the key', challenge[11:], 'md5').digest())
assert c.recv_bytes(256) == b'#FAILURE#'
print('refused')
]]):format(python_address(listener.address)))
    local c, message, name = listener:accept(SECONDS)
    assert.is_nil(c)
    assert.equal("EAUTH", name)
    assert.truthy(message:find("allow_md5 = true", 1, true))
    assert.equal("refused\n", out:read("a"))
    out:close()
  end)

  it("wrong key is refused by both", function()
    if not has_python then return pending("needs python3") end
    local listener <close> = assert(mproc.Listener({ address = "127.0.0.1:0", authkey = "the key" }))
    local out = python(SHA256 .. ([[
try:
    mc.Client(%s, authkey=b'another')
except mc.AuthenticationError as e:
    print('refused')
]]):format(python_address(listener.address)))
    local _, _, name = listener:accept(SECONDS)
    assert.equal("EAUTH", name)
    assert.equal("refused\n", out:read("a"))
    out:close()
  end)

  it("long messages have the long head", function()
    if not has_python then return pending("needs python3") end
    local listener <close> = assert(mproc.Listener({ address = "127.0.0.1:0", authkey = false }))
    local out = python(OLD .. ([[
import struct
c = mc.Client(%s)
import os
os.write(c.fileno(), struct.pack('!iQ', -1, 5) + b'short')
c.recv_bytes()
]]):format(python_address(listener.address)))
    local c <close> = assert(listener:accept(SECONDS))
    assert.equal("short", c:recv_bytes(nil, SECONDS))
    c:send_bytes("")
    out:close()
  end)
end)
