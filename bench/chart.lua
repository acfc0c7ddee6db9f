-- SPDX-License-Identifier: MIT
-- Draws docs/bench.svg and docs/scaling.svg from bench/results.json by gnuplot: this file writes the figures as
-- columns, the .gp files beside it say how they look. Without gnuplot it says so and draws nothing.

local results = require("bench.results")

local DATA = (os.getenv("BUILD") or "build") .. "/bench"
local DOCS = os.getenv("BENCH_DOCS") or "docs"

if not os.execute("command -v gnuplot >/dev/null 2>&1") then
  print("gnuplot is missing: the charts stay as they are (make bench-deps)")
  return
end

local function write(name, lines)
  local path = DATA .. "/" .. name
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(table.concat(lines, "\n"), "\n"))
  return path
end

-- Draws with script.gp the columns in `lines`.
local function draw(name, lines, height)
  local data = write(name .. ".dat", lines)
  local command = ("gnuplot -e \"data='%s'; out='%s/%s.svg'; rows=%d\" bench/%s.gp")
  assert(os.execute(command:format(data, DOCS, name, height, name)), "gnuplot could not draw " .. name)
end

local function quoted(text)
  return '"' .. text:gsub('["\\]', "") .. '"'
end

-- One line for each comparison: place, label, median, first and third quartile of how many times better mproc is.
local function comparisons()
  local lines = {}
  for _, row in ipairs(results.read()) do
    local sides = table.move(row.peers, 1, #row.peers, 2, { row.python })
    for i = row.python and 1 or 2, #sides do
      local s = sides[i]
      lines[#lines + 1] = ("%d %s %g %g %g %d"):format(#lines + 1, quoted(row.title .. " / " .. s.name), s.times.median,
        s.times.q1, s.times.q3, s.name == "python" and 1 or 2)
    end
  end
  return lines
end

-- Blocks of x and y, one for each series of the scaling rows.
local function scalings()
  local lines, found = {}, 0
  for _, row in ipairs(results.read()) do
    if row.series then
      found = found + 1
      lines[#lines + 1] = ("%s %s %s"):format(quoted(row.series.name), quoted(row.series.x), quoted(row.series.y))
      for _, point in ipairs(row.series.points) do
        lines[#lines + 1] = ("%g %g"):format(point.x, point.y)
      end
      lines[#lines + 1] = "\n"
    end
  end
  return lines, found
end

local compared = comparisons()
if #compared > 0 then
  draw("bench", compared, #compared)
end
local lines, series = scalings()
if series > 0 then
  draw("scaling", lines, series)
end
