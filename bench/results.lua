-- SPDX-License-Identifier: MIT
-- bench/results.json: a list of rows, one a line, each complete in itself (what, how much, where and when), for rows of
-- different days stand side by side when only some programs were run again. harness.lua says what is in a row.

local json = require("bench.json")

local results = {}

results.PATH = os.getenv("BENCH_RESULTS") or "bench/results.json"

-- results.read() -> list of rows, empty when there are none yet
function results.read()
  local file <close> = io.open(results.PATH)
  return file and json.read(file:read("a")) or {}
end

local function write_all(rows)
  local lines = {}
  for i, row in ipairs(rows) do
    lines[i] = json.write(row)
  end
  local fresh = results.PATH .. ".new"
  do
    local file <close> = assert(io.open(fresh, "w"))
    assert(file:write("[\n", table.concat(lines, ",\n"), "\n]\n"))
  end
  assert(os.rename(fresh, results.PATH))
end

-- Puts the row in the place of the one with the same title, or at the end.
function results.keep(row)
  local rows = results.read()
  local at = #rows + 1
  for i, old in ipairs(rows) do
    at = old.title == row.title and i or at
  end
  rows[at] = row
  write_all(rows)
end

-- results.row(title) -> row or nil
function results.row(title)
  for _, row in ipairs(results.read()) do
    if row.title == title then
      return row
    end
  end
end

return results
