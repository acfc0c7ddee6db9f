-- SPDX-License-Identifier: MIT
-- Monte Carlo pi. Each worker has a random stream of its own: mproc seeds every process from the system, so no
-- two workers draw the same points. What a worker counts lasts from task to task in mproc.worker().store.
-- Usage: lua examples/pool_pi.lua [points]

local mproc = require("mproc")

local POINTS = math.tointeger(arg and arg[1]) or 4000000
local TASKS = 100

local function throw(points)
  local random, inside = math.random, 0
  for _ = 1, points do
    local x, y = random(), random()
    if x * x + y * y <= 1 then
      inside = inside + 1
    end
  end
  local store = mproc.worker().store
  store.points = (store.points or 0) + points
  return { inside = inside, worker = mproc.worker().index, points = store.points, first = random() }
end

local pool <close> = mproc.Pool(2)
local sizes = {}
for i = 1, TASKS do
  sizes[i] = POINTS // TASKS
end

local inside, points, draws, same = 0, {}, {}, 0
for _, result in pool:imap_unordered(throw, sizes) do
  inside = inside + result.inside
  points[result.worker] = math.max(points[result.worker] or 0, result.points)
  same = same + (draws[result.first] and 1 or 0)
  draws[result.first] = true
end

local thrown = TASKS * (POINTS // TASKS)
for worker, n in pairs(points) do
  print(("worker %d threw %d points"):format(worker, n))
end
print(("%d points, %d draws alike, pi is about %.3f"):format(thrown, same, 4 * inside / thrown))
