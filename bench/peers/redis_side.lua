-- SPDX-License-Identifier: MIT
-- The same jobs with Redis over a Unix socket, by LuaSocket: prints one number. Usage: redis_side.lua JOB COUNT

local socket = require("socket")
local unix = require("socket.unix")

local KEYS = 1000
local job, count = arg[1], math.tointeger(arg[2])

local directory = os.tmpname()
os.remove(directory)
assert(os.execute("mkdir " .. directory))
local path = directory .. "/redis.sock"
assert(os.execute(("redis-server --port 0 --unixsocket %s --save '' --daemonize yes --dir %s >/dev/null")
  :format(path, directory)))

local connection
for _ = 1, 500 do
  connection = unix()
  if connection:connect(path) then
    break
  end
  socket.sleep(0.01)
end

local function call(...)
  local words = { ... }
  local text = { ("*%d\r\n"):format(#words) }
  for i, word in ipairs(words) do
    text[i + 1] = ("$%d\r\n%s\r\n"):format(#word, word)
  end
  assert(connection:send(table.concat(text)))
  local line = assert(connection:receive())
  local length = line:match("^%$(%d+)")
  return length and assert(connection:receive(tonumber(length) + 2)) or line
end

local COMMANDS = {
  get = function(key) call("GET", key) end,
  set = function(key, i) call("SET", key, tostring(i)) end,
  add = function(key) call("INCRBY", key, "1") end,
}

for i = 1, KEYS do
  call("SET", "key" .. i, tostring(i))
end
local f, began = COMMANDS[job], socket.gettime()
for i = 1, count do
  f("key" .. i % KEYS + 1, i)
end
print(count / (socket.gettime() - began) / 1e6)
connection:send("*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n")
connection:receive()
os.execute("rm -rf " .. directory)
