-- SPDX-License-Identifier: MIT
-- The other sides of a comparison: programs that print one number. Each peer is a command, a program of bench/peers/
-- with one function a job, and a way to learn its version; a peer that is not installed is left out and said so.

local machine = require("bench.machine")

local sides = {}

local PYTHON = os.getenv("PYTHON") or "python3"
local LMDB_PYTHON = os.getenv("LMDB_PYTHON") or "/usr/bin/python3" -- the one that Debian's modules are for
local LUA = os.getenv("LUA") or "lua5.4"
local LUAJIT = os.getenv("LUAJIT") or "luajit"
local RUBY = os.getenv("RUBY") or "ruby"
local PERL = os.getenv("PERL") or "perl"

-- Modules that are plain Lua lie under another version's name in some Debian packages.
local PLAIN_PATH = "package.path = package.path .. ';/usr/share/lua/5.3/?.lua' "

local BUILT_CPATH = ("package.cpath = package.cpath .. ';%s/bench/?.so' "):format(os.getenv("BUILD") or "build")

local function lua_module(interpreter, name, version)
  return ([[%s -e "%slocal m = require('%s') print(%s)"]]):format(interpreter, PLAIN_PATH .. BUILT_CPATH, name, version)
end

local function codec(job, name, interpreter, module, version)
  return {
    name = name,
    run = interpreter .. " bench/peers/codec_side.lua " .. job,
    version = lua_module(interpreter, module, version),
  }
end

-- run: what its program is called with. version: a command that prints it, and fails when the peer is not there.
local PEERS = {
  python = { name = "multiprocessing", run = PYTHON .. " bench/python_side.py", version = PYTHON .. " --version" },
  futures = {
    name = "concurrent.futures",
    run = PYTHON .. " bench/peers/futures_side.py",
    version = PYTHON .. " -c 'import concurrent.futures, platform; print(\"Python\", platform.python_version())'",
  },
  import = {
    name = "import multiprocessing",
    run = PYTHON .. " bench/peers/import_side.py",
    version = PYTHON .. " --version",
  },
  mce = {
    name = "MCE",
    run = PERL .. " bench/peers/mce_side.pl",
    version = PERL .. " -MMCE -e 'print \"MCE $MCE::VERSION, Perl $^V\"'",
  },
  redis = {
    name = "Redis",
    run = LUA .. " bench/peers/redis_side.lua",
    version = "redis-server --version && " .. LUA .. " -e \"require('socket.unix')\"",
  },
  pickle = {
    name = "pickle",
    run = PYTHON .. " bench/peers/frozen_side.py pickle",
    version = PYTHON .. " --version",
  },
  shareable = {
    name = "ShareableList",
    run = PYTHON .. " bench/peers/frozen_side.py shareable",
    version = PYTHON .. " --version",
  },
  lmdb = {
    name = "LMDB",
    run = LMDB_PYTHON .. " bench/peers/frozen_side.py lmdb",
    version = LMDB_PYTHON .. " -c 'import lmdb; print(\"LMDB\", \".\".join(map(str, lmdb.version())))'",
  },
  shared_mem = {
    name = "Hash::SharedMem",
    run = PERL .. " bench/peers/shared_mem_side.pl",
    version = PERL .. " -MHash::SharedMem -e 'print \"Hash::SharedMem $Hash::SharedMem::VERSION, Perl $^V\"'",
  },
  ruby = {
    name = "parallel",
    run = RUBY .. " bench/peers/parallel_side.rb",
    version = RUBY .. " -e 'require \"parallel\"; puts \"parallel #{Parallel::VERSION}, Ruby #{RUBY_VERSION}\"'",
  },
  luv = {
    name = "luv",
    run = LUA .. " bench/peers/luv_side.lua",
    version = lua_module(LUA, "luv", "'luv, libuv ' .. m.version_string()"),
  },
  cqueues = {
    name = "cqueues",
    run = LUA .. " bench/peers/cqueues_side.lua",
    version = lua_module(LUA, "cqueues", "'cqueues ' .. m.VERSION"),
  },
  messagepack = codec("messagepack", "lua-messagepack", LUA, "MessagePack", "m._NAME or 'MessagePack'"),
  cmsgpack = codec("cmsgpack", "lua-cmsgpack", LUA, "cmsgpack", "m._VERSION"),
  cjson = codec("cjson", "lua-cjson", LUA, "cjson", "'cjson ' .. m._VERSION"),
  string_buffer = codec("string_buffer", "string.buffer", LUAJIT, "string.buffer", "jit.version"),
}

local function first_line_if_ok(command)
  local text, ok = machine.output(command .. " 2>/dev/null")
  return ok and text:match("[^\n]+") or nil
end

local function number_from(command)
  local text = machine.output(command)
  return tonumber(text) or error("no number from " .. command .. ": " .. text)
end

local versions = {}

local function version_of(key)
  if versions[key] == nil then
    versions[key] = first_line_if_ok(PEERS[key].version) or false
  end
  return versions[key]
end

-- sides.peer(key, job, ...) -> { name, version, run } where run() gives a figure; without run: it is missing
function sides.peer(key, ...)
  local peer = PEERS[key]
  local version = version_of(key)
  local command = table.concat({ peer.run, ... }, " ")
  return { name = peer.name, version = version or nil, run = version and function()
    return number_from(command)
  end }
end

-- A side that needs an interpreter of its own: bench/PROGRAM.lua.
function sides.lua(program, ...)
  local command = table.concat({ LUA, "bench/" .. program .. ".lua", ... }, " ")
  return function()
    return number_from(command)
  end
end

return sides
