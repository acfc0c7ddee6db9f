-- SPDX-License-Identifier: MIT
-- Runs a Lua program in a fresh interpreter, under a deadline that ends its process group.

local program = {}

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end
program.quote = quote

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

-- Runs a shell command; returns { out =, err =, code =, timed_out = }. code is 128 + N after signal N.
function program.shell(command, seconds)
  local out, err = os.tmpname(), os.tmpname()
  local line = ("timeout -k 2 %d sh -c %s >%s 2>%s </dev/null"):format(seconds or 30, quote(command), out, err)
  local _, how, code = os.execute(line)
  local result = { out = read(out), err = read(err), code = how == "signal" and 128 + code or code }
  result.timed_out = code == 124 or code == 137
  os.remove(out)
  os.remove(err)
  return result
end

program.lua = os.getenv("LUA") or "lua5.4"

-- Runs the file with arguments; options: seconds, env (a string such as "MPROC_SPIN=0").
function program.file(path, arguments, options)
  options = options or {}
  local words = { "exec env", options.env or "", program.lua, quote(path) }
  for _, argument in ipairs(arguments or {}) do
    words[#words + 1] = quote(tostring(argument))
  end
  return program.shell(table.concat(words, " "), options.seconds)
end

function program.text(source, options)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(source)
  file:close()
  local result = program.file(path, nil, options)
  os.remove(path)
  return result
end

return program
