-- SPDX-License-Identifier: MIT
-- Runs every benchmark, or those that are named (bench/codec.lua …), each in an interpreter of its own: one table, and
-- a row each in bench/results.json; then the charts.

local LUA = os.getenv("LUA") or "lua5.4"
local PYTHON = os.getenv("PYTHON") or "python3"

local PROGRAMS = {
  "bench/start_join.lua",
  "bench/start_methods.lua",
  "bench/round_trip.lua",
  "MPROC_SPIN=0 bench/round_trip.lua",
  "bench/pipe.lua",
  "bench/wait_many.lua",
  "bench/condition.lua",
  "MPROC_SPIN=0 bench/condition.lua",
  "bench/integers.lua",
  "bench/batches.lua",
  "bench/tables.lua",
  "bench/kib_strings.lua",
  "bench/mib_strings.lua",
  "bench/codec.lua",
  "bench/alternation.lua",
  "bench/lock.lua",
  "bench/value_add.lua",
  "bench/array_bulk.lua",
  "bench/dict.lua",
  "bench/dict_readers.lua",
  "bench/dict_size.lua",
  "bench/barrier.lua",
  "bench/manager.lua",
  "bench/socket.lua",
  "bench/descriptor.lua",
  "bench/pool_map.lua",
  "bench/pool_apply.lua",
  "bench/imap_lines.lua",
  "bench/pool_chunks.lua",
  "bench/pool_cpu.lua",
  "bench/pool_ends.lua",
  "bench/startup.lua",
  "bench/scaling.lua",
  "bench/dict_scaling.lua",
  "bench/freeze_heap.lua",
  "bench/frozen.lua",
  "bench/command_line.lua",
}

local harness = require("bench.harness")

if not os.execute("command -v " .. PYTHON .. " >/dev/null 2>&1") then
  print(PYTHON .. " is missing: its columns stay empty")
end
print(("%d CPUs, medians of %d alternating rounds; ratios are medians of the rounds' ratios\n"):format(
  require("mproc").cpu_count(), harness.ROUNDS))
harness.header()
io.stdout:flush()

local chosen = {}
for _, file in ipairs(arg) do
  chosen[file] = true
end

local failed = 0
for _, program in ipairs(PROGRAMS) do
  local environment, file = program:match("^(.-)(bench/.*)$")
  if (#arg == 0 or chosen[file]) and not os.execute(("BENCH_ROWS_ONLY=1 %s %s %s"):format(environment, LUA, file)) then
    failed = failed + 1
  end
end
if not os.execute(LUA .. " bench/chart.lua") then
  failed = failed + 1
end
os.exit(failed == 0)
