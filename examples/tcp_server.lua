-- SPDX-License-Identifier: MIT
-- A server that accepts in one process and serves in a pool: each connection travels to a worker as a Descriptor.
-- Serves the number of clients given (3), which it starts itself, then ends. Needs lua-socket.

local mproc = require("mproc")
local socket = require("socket")

local CLIENTS = tonumber(arg[1]) or 3

-- In a worker: reads a line and answers it. `connection` is a Descriptor; as a Lua file it can be read and written.
local function serve(connection)
  local input <close> = connection:file("r")
  local output <close> = connection:file("w")
  connection:close()
  local line = input:read()
  output:write(("%s, says pid %d\n"):format(line:upper(), mproc.getpid()))
end

local function ask(port, text)
  local client = assert(socket.connect("127.0.0.1", port))
  client:send(text .. "\n")
  local answer = client:receive()
  local rest = client:receive() -- nil: the server has closed the connection
  client:close()
  return answer:match("^[^,]+"), answer:match("%d+$"), rest
end

local listener = assert(socket.bind("127.0.0.1", 0))
local _, port = listener:getsockname()
local workers <close> = mproc.Pool(2) -- before the clients: it must not inherit what they send
local clients <close> = mproc.Pool(2)

local answers = clients:starmap_async(ask, (function()
  local list = {}
  for i = 1, CLIENTS do
    list[i] = { port, "client " .. i }
  end
  return list
end)())

for _ = 1, CLIENTS do
  local connection = assert(listener:accept())
  local travels <close> = mproc.fd(connection)
  connection:close() -- the descriptor has a copy of its own
  workers:submit(serve, travels)
end

for i, answer in ipairs(answers:get()) do
  print(i, answer)
end
listener:close()
