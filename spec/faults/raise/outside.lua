-- SPDX-License-Identifier: MIT
-- Scenarios of run.lua: descriptors, sockets, managers. No file stays open and no process runs on, no message is lost
-- but what an instruction of the program itself had in hand, and the next call works.

local engine = require("spec.faults.raise.engine")
local lfs = require("lfs")
local mproc = require("mproc")

local scenarios = {}

local function open_files()
  local count = 0
  for _ in lfs.dir("/proc/self/fd") do
    count = count + 1
  end
  return count
end

-- As many files are open as before, once what nobody has is collected.
local function audit_files(env)
  engine.settles("files are left open", function() return open_files() <= env.files end)
end

local function ends(processes)
  engine.settles("a child runs", function() return #processes() == 0 end)
end

-- --- descriptors ---

local function with_file(call)
  return {
    make = function()
      local store <close> = mproc.fd(0) -- the store is there, and this process's connection to it
      store:fileno()
      return { file = assert(io.open("/dev/null")), q = mproc.Queue(), files = open_files() }
    end,
    call = call,
    audit = function(env)
      while env.q:get(0) do end
      audit_files(env)
      local d <close> = mproc.fd(env.file)
      assert(d:fileno() > 2, "the next one does not work")
    end,
  }
end

scenarios["fd, fileno and close"] = with_file(function(env)
  local d = mproc.fd(env.file)
  d:fileno()
  d:close()
end)
scenarios["fd, file"] = with_file(function(env)
  local d <close> = mproc.fd(env.file)
  local file <close> = d:file("r")
  file:read("a")
end)
scenarios["fd, sent and taken"] = with_file(function(env)
  do
    local d <close> = mproc.fd(env.file)
    env.q:put(d)
  end
  local taken <close> = env.q:get()
  taken:fileno()
  local _ = tostring(taken)
end)
-- A number that is detached is the program's: where the error strikes behind that, nobody has it.
scenarios["fd, detach"] = with_file(function(env)
  env.number = mproc.fd(env.file):detach()
end)
scenarios["fd, detach"].audit = function(env, what)
  if env.number then
    local mine <close> = mproc.fd(env.number)
    assert(mine:fileno())
    env.files = env.files + 1
  elseif what.raised and not what.inside then
    env.files = env.files + 1
  end
  audit_files(env)
end

-- --- sockets ---

scenarios["Listener"] = {
  make = function() return { files = open_files() } end,
  call = function()
    local l <close> = mproc.Listener({ address = "@mproc-raise" })
    l:accept(0)
    l:fileno()
    local _ = { l.address, l.last_accepted, tostring(l) }
  end,
  audit = function(env)
    audit_files(env)
    local l <close> = assert(mproc.Listener({ address = "@mproc-raise" }))
    assert(select(2, l:accept(0)) == "timeout")
  end,
}

-- A listener that says everything twice, in a process of its own.
local function echoing(options)
  local listener = assert(mproc.Listener(options or {}))
  local env = { address = listener.address, got = {}, sent = 0 }
  env.p = mproc.Process{ daemon = true, target = function()
    while true do
      local c = listener:accept()
      for bytes in function() return c and c:recv_bytes() end do
        pcall(c.send_bytes, c, bytes)
      end
    end
  end }:start()
  listener:close()
  env.files = open_files()
  return env
end

local function audit_echo(env)
  engine.collect()
  if env.c then
    env.c:close()
  end
  local c = assert(mproc.Client({ address = env.address }))
  c:send("next")
  assert(c:recv(10) == "next", "the next connection does not work")
  c:close()
  audit_files(env)
  env.p:kill()
  env.p:join()
  env.p:close()
end

scenarios["Client"] = {
  make = function() return echoing() end,
  call = function(env)
    local c <close> = mproc.Client({ address = env.address })
    local _ = { c.closed, tostring(c) }
  end,
  audit = audit_echo,
}
scenarios["SocketConnection:send and recv"] = {
  make = function()
    local env = echoing()
    env.c = assert(mproc.Client({ address = env.address }))
    return env
  end,
  call = function(env)
    for i = 1, 3 do
      env.sent = env.sent + 1
      env.c:send({ i, ("x"):rep(2000) })
      local value = env.c:recv()
      env.got[#env.got + 1] = value[1]
      env.c:poll(0)
      env.c:send_bytes("abc", 1, 0)
      env.c:recv_bytes()
    end
  end,
  audit = function(env, what)
    for i, n in ipairs(env.got) do
      assert(n == i, "out of order")
    end
    assert(what.raised or #env.got == 3)
    audit_echo(env)
  end,
}

-- --- managers ---

local Counter = {}
Counter.__index = Counter
function Counter:add(k) self.n = self.n + k return self.n end
function Counter:get() return self.n end
function Counter:fail() error({ code = self.n }) end

local function new_counter(n) return setmetatable({ n = n or 0 }, Counter) end

local function manager(address)
  return assert(mproc.Manager({ constructors = { Counter = new_counter }, objects = { named = new_counter(5) },
    address = address }))
end

scenarios["Manager"] = {
  make = function() return {} end,
  call = function()
    local m <close> = mproc.Manager({ Counter = new_counter })
    local _ = { m.name, m.pid, m.address, tostring(m) }
  end,
  audit = function()
    engine.collect()
    ends(mproc.active_children)
  end,
}

local function with_manager(call, address)
  return {
    make = function()
      local env = { m = manager(address), done = 0 }
      env.here = address and assert(mproc.connect(env.m.address)) or env.m
      env.c = env.here:create("Counter")
      env.c:add(0)
      return env
    end,
    call = call,
    audit = function(env)
      local before = env.c:get()
      assert(before == env.done or before == env.done + 1, ("%d of %d calls"):format(before, env.done))
      assert(env.c:add(1) == before + 1, "the next call does not work")
      assert(env.here:create("Counter", 3):get() == 3)
      assert(env.here:get("named"):get() == 5)
      if env.here ~= env.m then
        env.here:close()
      end
      env.m:shutdown()
      ends(mproc.active_children)
    end,
  }
end

local function calls(env)
  for i = 1, 3 do
    assert(env.c:add(1) == i, "a wrong answer")
    env.done = i
  end
end

local function creates(env)
  for i = 1, 2 do
    local other <close> = env.here:create("Counter", i)
    assert(other:add(1) == i + 1)
    assert(env.here:get("named"):get() == 5)
  end
end

local function calls_by_name(env)
  env.c:call("get", nil, 0) -- whether it is in time
  assert(env.c:call("add", { 1 }, 20) == 1)
  env.done = 1
  local ok, err = pcall(env.c.fail, env.c)
  if ok or type(err) ~= "table" or err.code ~= 1 then
    error(err, 0)
  end
end

scenarios["Proxy, calls"] = with_manager(calls)
scenarios["Proxy:call"] = with_manager(calls_by_name)
scenarios["Manager:create and get"] = with_manager(creates)
scenarios["Proxy beyond a socket, calls"] = with_manager(calls, "@mproc-raise-manager")
scenarios["Proxy:call beyond a socket"] = with_manager(calls_by_name, "@mproc-raise-manager")
scenarios["Manager:create and get beyond a socket"] = with_manager(creates, "@mproc-raise-manager")

scenarios["Proxy, sent and taken"] = with_manager(function(env)
  local q = mproc.Queue()
  q:put({ env.c, env.m })
  local got = q:get()
  assert(got[1] == env.c and got[1]:add(1) == 1)
  env.done = 1
  assert(got[2] == env.m and got[2]:create("Counter", 2):get() == 2)
  local _ = tostring(got[1])
end)

scenarios["connect"] = {
  make = function()
    local m = manager("@mproc-raise-manager")
    return { m = m, files = open_files() }
  end,
  call = function(env)
    local far <close> = mproc.connect(env.m.address)
    assert(far:get("named"):get() == 5)
  end,
  audit = function(env)
    audit_files(env)
    local far = assert(mproc.connect(env.m.address))
    assert(far:get("named"):get() == 5)
    far:close()
    env.m:shutdown()
    ends(mproc.active_children)
  end,
}

scenarios["Manager:shutdown"] = {
  make = function()
    local m = manager()
    return { m = m, c = m:create("Counter") }
  end,
  call = function(env) env.m:shutdown() end,
  audit = function(env)
    env.m:shutdown()
    env.m:close()
    env.m, env.c = nil, nil
    ends(mproc.active_children)
  end,
}

return scenarios
