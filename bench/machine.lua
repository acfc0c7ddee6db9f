-- SPDX-License-Identifier: MIT
-- The machine that is measured on: what it is, and how busy others keep it.

local machine = {}

local function first_match(path, pattern)
  local file <close> = io.open(path)
  return file and file:read("a"):match(pattern) or "unknown"
end

-- What a command prints, and whether it succeeded.
function machine.output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  return text, (pipe:close())
end

-- machine.facts() -> { cpu, cpus, kernel, lua }
function machine.facts()
  return {
    cpu = first_match("/proc/cpuinfo", "model name%s*:%s*([^\n]*)"),
    cpus = require("mproc").cpu_count(),
    kernel = first_match("/proc/sys/kernel/osrelease", "^[%d.]+"),
    lua = machine.output((os.getenv("LUA") or "lua5.4") .. " -v"):match("[^\n]*"),
  }
end

local function all_cpus()
  local file <close> = io.open("/proc/stat")
  local fields, total = {}, 0
  for n in (file and file:read("l") or ""):gmatch("%d+") do
    fields[#fields + 1] = tonumber(n)
  end
  for i = 1, math.min(#fields, 8) do
    total = total + fields[i]
  end
  return total, (fields[4] or 0) + (fields[5] or 0)
end

-- Ticks of this process and of the children it has waited for.
local function own_ticks()
  local file <close> = assert(io.open("/proc/self/stat"))
  local own, at = 0, 0
  for field in file:read("a"):match("%)(.*)"):gmatch("%S+") do
    at = at + 1
    if at >= 12 and at <= 15 then -- utime stime cutime cstime
      own = own + tonumber(field)
    end
  end
  return own
end

-- Calls f; returns its result and the share of all CPUs that other programs used meanwhile.
function machine.watching_others(f)
  local total, idle = all_cpus()
  local own = own_ticks()
  local result = f()
  local total_after, idle_after = all_cpus()
  local ticks = total_after - total
  local busy = ticks - (idle_after - idle)
  return result, ticks > 0 and math.max(0, (busy - (own_ticks() - own)) / ticks) or 0
end

return machine
