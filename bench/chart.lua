-- SPDX-License-Identifier: MIT
-- Draws docs/headlines.svg, docs/bench.svg and docs/scaling.svg from bench/results.json by gnuplot: this file writes
-- the figures as columns, the .gp files beside it say how they look. Without gnuplot it says so and draws nothing.

local headlines = require("bench.headlines")
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
local function draw(name, lines, height, peers)
  local data = write(name .. ".dat", lines)
  local command = ("gnuplot -e \"data='%s'; out='%s/%s.svg'; rows=%d; peers=%d\" bench/%s.gp")
  assert(os.execute(command:format(data, DOCS, name, height, peers or 0, name)), "gnuplot could not draw " .. name)
end

-- What is written reads well on a light page and on a dark one.
local STYLE = "<style>text { fill: #24292f } @media (prefers-color-scheme: dark) { text { fill: #d0d7de } }</style>"

local function follow_the_page(name)
  local path = DOCS .. "/" .. name .. ".svg"
  local text
  do
    local file <close> = assert(io.open(path))
    text = file:read("a")
  end
  local file <close> = assert(io.open(path, "w"))
  assert(file:write((text:gsub("<svg.->", "%0\n" .. STYLE:gsub("%%", "%%%%"), 1))))
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

local function sides_of(row)
  return table.move(row.peers, 1, #row.peers, row.python and 2 or 1, { row.python })
end

-- Adds what a row says of each peer to the peer's list in `found`, at that place of the chart.
local function add_sides(found, row, place)
  for _, side in ipairs(sides_of(row)) do
    local name = side.name == "python" and "Python's multiprocessing" or side.name
    if not found[name] then
      found[name] = {}
      found[#found + 1] = name
    end
    table.insert(found[name], ("%d %g %g %g"):format(place, side.times.median, side.times.q1, side.times.q3))
  end
end

-- A block of the rows' names, and one for each peer: where, median and quartiles of how many times better mproc is.
-- Rows that were never measured are left out.
local function headline_blocks()
  local names, found = {}, {}
  local function name(text)
    names[#names + 1] = ("%d %s"):format(#names + 1, quoted(text))
    return #names
  end
  for _, group in ipairs(headlines) do
    name(group[1]:upper())
    for i = 2, #group do
      local row = results.row(group[i][2])
      if row then
        add_sides(found, row, name(group[i][1]))
      end
    end
  end
  local lines = { table.concat(names, "\n"), "\n" }
  for _, peer in ipairs(found) do
    table.move({ quoted(peer), table.concat(found[peer], "\n"), "\n" }, 1, 3, #lines + 1, lines)
  end
  return lines, #names, #found
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

local blocks, places, peers = headline_blocks()
if peers > 0 then
  draw("headlines", blocks, places, peers)
  follow_the_page("headlines")
end
local compared = comparisons()
if #compared > 0 then
  draw("bench", compared, #compared)
end
local lines, series = scalings()
if series > 0 then
  draw("scaling", lines, series)
end
