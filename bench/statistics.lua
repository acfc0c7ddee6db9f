-- SPDX-License-Identifier: MIT
-- What is made of the figures of several rounds. Lists are not changed and never empty.

local statistics = {}

local function sorted(list)
  local copy = table.move(list, 1, #list, 1, {})
  table.sort(copy)
  return copy
end

-- The value below which a share of the list lies, between neighbours where need be.
local function quantile(s, share)
  local at = 1 + (#s - 1) * share
  local below = math.floor(at)
  local above = math.min(below + 1, #s)
  return s[below] + (s[above] - s[below]) * (at - below)
end

function statistics.median(list)
  return quantile(sorted(list), 0.5)
end

function statistics.best(list, better)
  local s = sorted(list)
  return better == "less" and s[1] or s[#s]
end

-- spread(list) -> { median, q1, q3, min, max }
function statistics.spread(list)
  local s = sorted(list)
  return { median = quantile(s, 0.5), q1 = quantile(s, 0.25), q3 = quantile(s, 0.75), min = s[1], max = s[#s] }
end

-- Spread of a[i] / b[i]: each of two figures of one round.
function statistics.ratio(a, b)
  local ratios = {}
  for i = 1, #b do
    ratios[i] = a[i] / b[i]
  end
  return statistics.spread(ratios)
end

return statistics
