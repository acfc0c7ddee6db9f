-- SPDX-License-Identifier: MIT
-- Claims: the program mproc runs commands for no more CPU time than xargs takes, and a sixth of GNU parallel's; on two
-- CPUs it works on lines nearly twice as fast as a serial loop. A trace costs next to nothing. BENCH_MIB=1024: the size
-- of the file of lines.

local harness = require("bench.harness")
local mproc = require("mproc")

local LUA = os.getenv("LUA") or "lua5.4"
local MIB = tonumber(os.getenv("BENCH_MIB")) or 256
local JOBS, MANY_JOBS = 500, 10000
local POLL_SECONDS = 0.02

local PROGRAM = LUA .. " bin/mproc"
local file = os.tmpname()

-- Lines of 90 bytes on average.
local function write_lines()
  local words = { "Ox", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "512", "GET", "/index.html" }
  local lines, n = {}, 0
  math.randomseed(7)
  for i = 1, 12000 do
    local line = {}
    for k = 1, math.random(8, 24) do
      line[k] = words[math.random(#words)]
    end
    lines[i] = table.concat(line, " ") .. "\n"
    n = n + #lines[i]
  end
  local text, out <close> = table.concat(lines), assert(io.open(file, "wb"))
  for _ = 1, (MIB << 20) // n do
    out:write(text)
  end
end

-- Wall seconds, and CPU seconds of all processes, of a shell command.
local function cost(command)
  local script = ("TIMEFORMAT='%%R %%U %%S'; time { %s; } >/dev/null 2>&1"):format(command)
  local pipe <close> = io.popen(("bash -c '%s' 2>&1"):format(script:gsub("'", "'\\''")))
  local wall, user, system = pipe:read("a"):match("([%d.]+) ([%d.]+) ([%d.]+)")
  return tonumber(wall), tonumber(user) + tonumber(system)
end

local function wall(command)
  return function() return (cost(command)) end
end

local function cpu(command, n)
  return function() return select(2, cost(command)) / (n or 1) end
end

-- A side of a comparison, left out where the program is not installed. probe: what prints its version.
local function side(name, probe, run)
  local pipe <close> = io.popen(probe .. " 2>/dev/null")
  local version = pipe:read("l")
  return { name = name, version = version, run = version and run }
end

local function at_most(limits)
  return function(found)
    for name, most in pairs(limits) do
      local other = found.sides and found.sides[name]
      if other and other.ratio.median > most then
        return false
      end
    end
    return true
  end
end

local XARGS, PARALLEL = "xargs --version", "parallel --version"
local MCE = "perl -MMCE -e 'print $MCE::VERSION'"

local function per_job(command)
  return cpu(("seq %d | %s"):format(JOBS, command), JOBS / 1000)
end

local function commands()
  harness.run({
    title = "run true, CPU a job, ms", better = "less", mproc = per_job(PROGRAM .. " run -j2 true"),
    peers = {
      side("xargs", XARGS, per_job("xargs -P2 -n1 true")),
      side("GNU parallel", PARALLEL, per_job("parallel -j2 true")),
    },
    reach = "<= xargs, 1/6 parallel", reached = at_most({ xargs = 1, ["GNU parallel"] = 1 / 6 }),
  })
  local many = ("seq %d | "):format(MANY_JOBS)
  harness.run({
    title = ("%d x true, s"):format(MANY_JOBS), better = "less", mproc = wall(many .. PROGRAM .. " run -j2 true"),
    peers = { side("xargs -P2", XARGS, wall(many .. "xargs -P2 -n1 true")) },
    reach = "<= xargs", reached = at_most({ ["xargs -P2"] = 1 }),
  })
  harness.run({
    title = "mproc --version, ms", better = "less", mproc = function()
      return 1000 * cost(PROGRAM .. " --version")
    end,
    reach = "<= 15", reached = function(found) return found.median <= 15 end,
  })
end

local function quote(text)
  return "'" .. text .. "'"
end

local LOOP = 'for line in io.lines(%s) do io.write(line:upper(), "\\n") end'

-- As one word of a shell command.
local function one_word(command)
  return "'" .. command:gsub("'", "'\\''") .. "'"
end

local function lines()
  local map = ("%s map -j2 %s %s"):format(PROGRAM, quote("line:upper()"), file)
  local serial = ("%s -e %s"):format(LUA, quote(LOOP:format('"' .. file .. '"')))
  local each = one_word(("%s -e %s"):format(LUA, quote(LOOP:format(""))))
  local by_parallel = ("parallel -j2 -k --pipe-part --block 1M -a %s %s"):format(file, each)
  local lua = LUA .. " -v"
  harness.run({
    title = ("map upper, %d MiB, s"):format(MIB), better = "less", mproc = wall(map),
    peers = { side("serial Lua", lua, wall(serial)) },
    reach = "<= serial / 1.8", reached = at_most({ ["serial Lua"] = 1 / 1.8 }),
  })
  harness.run({
    title = ("map upper, %d MiB, CPU s"):format(MIB), better = "less", mproc = cpu(map),
    peers = {
      side("serial Lua", lua, cpu(serial)),
      side("parallel, Lua", PARALLEL, cpu(by_parallel)),
      side("awk", "awk -W version", cpu(("awk %s %s"):format(quote("{ print toupper($0) }"), file))),
      side("perl", "perl -e 'print $^V'", cpu(("perl -ne %s %s"):format(quote("print uc"), file))),
    },
    reach = "<= 1.1 serial, .65 par.", reached = at_most({ ["serial Lua"] = 1.1, ["parallel, Lua"] = 0.65 }),
  })
  harness.run({
    title = ("map -B upper, %d MiB, CPU s"):format(MIB), better = "less",
    mproc = cpu(("%s map -j2 -B %s %s"):format(PROGRAM, quote("text:upper()"), file)),
    peers = { side("tr", "tr --version", cpu(("tr a-z A-Z <%s"):format(file))) },
    reach = "<= 1.3 tr", reached = at_most({ tr = 1.3 }),
  })
end

local function counting()
  local mce = ([[perl -MMCE::Grep -e 'MCE::Grep->init(max_workers => 2, chunk_size => "1m"); ]]
    .. [[my $n = mce_grep_f { /Ox/ } "%s"; print $n']]):format(file)
  harness.run({
    title = ("filter -c, %d MiB, CPU s"):format(MIB), better = "less",
    mproc = cpu(("%s filter -c -j2 %s %s"):format(PROGRAM, quote('line:find("Ox", 1, true)'), file)),
    peers = {
      side("MCE::Grep", MCE, cpu(mce)),
      side("grep -c", "grep --version", cpu(("grep -c Ox %s"):format(file))),
    },
  })
end

-- --- the timeline ---

-- 3,000 chunks of about a millisecond.
local TASKS = [[
  local function task() local sum = 0 for i = 1, 200000 do sum = sum + i end return sum end
  local items = {} for i = 1, 3000 do items[i] = i end
  local pool <close> = require("mproc").Pool(2)
  pool:map(task, items, 1)]]

local function tracing()
  local script, trace = os.tmpname(), os.tmpname()
  do
    local out <close> = assert(io.open(script, "w"))
    out:write(TASKS)
  end
  local program = LUA .. " " .. script
  harness.run({
    title = "tasks of 1 ms, traced, CPU s", better = "less",
    mproc = cpu(("MPROC_TRACE=%s %s"):format(trace, program)),
    peers = { side("not traced", LUA .. " -v", cpu(program)) },
    reach = "<= 1.02 not traced", reached = at_most({ ["not traced"] = 1.02 }),
  })
  os.remove(script)
  os.remove(trace)
end

-- --- memory ---

local function kib_of(pid)
  local status <close> = io.open(("/proc/%s/smaps_rollup"):format(pid))
  return status and tonumber((status:read("a") or ""):match("Pss: *(%d+)")) or 0
end

local function children_of(pid)
  local list <close> = io.open(("/proc/%s/task/%s/children"):format(pid, pid))
  return list and list:read("a") or ""
end

-- The most that the program and its workers have together, in MiB, shared pages counted once.
local function peak_memory(command)
  local pipe <close> = io.popen(("exec 3>&1; %s >/dev/null & echo $! >&3"):format(command))
  local pid, most = pipe:read("l"), 0
  repeat
    local sum = kib_of(pid)
    for child in children_of(pid):gmatch("%d+") do
      sum = sum + kib_of(child)
    end
    most = math.max(most, sum)
    mproc.sleep(POLL_SECONDS)
  until sum == 0
  return most / 1024
end

local function memory()
  harness.run({
    title = ("map %d MiB, memory, MiB"):format(MIB), better = "less",
    mproc = function() return peak_memory(("exec %s map -j2 %s %s"):format(PROGRAM, quote("line:upper()"), file)) end,
    reach = "<= 64", reached = function(found) return found.median <= 64 end,
  })
end

write_lines()
commands()
lines()
counting()
tracing()
memory()
os.remove(file)
