-- SPDX-License-Identifier: MIT
-- Runs the program mproc of this tree, in a folder of its own.

local program = require("spec.support.program")

local cli = {}

local quote = program.quote

local tree = io.popen("pwd"):read()

local function absolute(path)
  return path:sub(1, 1) == "/" and path or tree .. "/" .. path
end

-- Wherever it is started, it finds this tree's modules.
local environment = ("LUA_PATH=\"%s/lua/?.lua;%s/lua/?/init.lua;$LUA_PATH\" LUA_CPATH=\"%s/?.so;$LUA_CPATH\""):format(
  tree, tree, absolute(os.getenv("BUILD") or "build"))
cli.program = ("env %s %s %s/bin/mproc"):format(environment, program.lua, tree)

-- A folder that is removed at the end of the block; its path.
function cli.folder(finally)
  local name = os.tmpname()
  os.remove(name)
  assert(os.execute("mkdir " .. quote(name)))
  finally(function() os.execute("rm -rf " .. quote(name)) end)
  return name
end

function cli.write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
  return path
end

function cli.read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

-- The shell command with "mproc" standing for the program, and Lua programs finding the tree; what program.shell gives.
function cli.shell(command, seconds)
  local script = ("export %s\nmproc() { %s \"$@\"; }\n%s"):format(environment, cli.program, command)
  return program.shell(script, seconds or 60)
end

-- The program with these arguments.
function cli.run(...)
  local words = { "mproc" }
  for _, word in ipairs({ ... }) do
    words[#words + 1] = quote(tostring(word))
  end
  return cli.shell(table.concat(words, " "))
end

return cli
