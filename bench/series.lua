-- SPDX-License-Identifier: MIT
-- Claims about a curve: how a cost or a rate changes with the number of something. The points of a round are measured
-- one after another, so that what disturbs the machine disturbs all of them; each point shows its median.

local harness = require("bench.harness")
local machine = require("bench.machine")
local results = require("bench.results")
local statistics = require("bench.statistics")

local function points_of(claim, figures)
  local points = {}
  for i, x in ipairs(claim.xs) do
    points[i] = { x = x, y = statistics.median(figures[i]) }
  end
  return points
end

local function words_of(points)
  local words = {}
  for i, p in ipairs(points) do
    words[i] = ("%s: %.3g"):format(p.x, p.y)
  end
  return table.concat(words, "  ")
end

-- claim: title; chart (its title there: what is varied, N, and what is measured, with its unit); x and y (what they
-- are); xs (list); measure (of an x, gives a y); figure (of a function that gives the y of an x; left out: nothing is
-- claimed); reach (words), reached (of the figure); rounds.
return function(claim)
  local figures, busy, of_rounds = {}, {}, {}
  for i in ipairs(claim.xs) do
    figures[i] = {}
  end
  for round = 1, claim.rounds or harness.ROUNDS do
    local at = {}
    local _, others = machine.watching_others(function()
      for i, x in ipairs(claim.xs) do
        at[x] = claim.measure(x)
        figures[i][round] = at[x]
      end
    end)
    busy[round] = others
    of_rounds[round] = claim.figure(at)
  end
  local points = points_of(claim, figures)
  local row = {
    claim = harness.program(), title = claim.title, unit = claim.title:match(", ([^,]+)$"), better = claim.better,
    median = statistics.median(of_rounds), best = statistics.best(of_rounds, claim.better),
    spread = statistics.spread(of_rounds), rounds = of_rounds, peers = {}, missing = {}, others = busy,
    reach = claim.reach or "", date = harness.date(), machine = machine.facts(),
    series = { x = claim.x, y = claim.y, name = claim.chart, points = points },
  }
  row.reached = claim.reached and claim.reached(row.median)
  results.keep(row)
  harness.print_row(row)
  print("  " .. claim.y .. " at " .. words_of(points))
end
