-- SPDX-License-Identifier: MIT
-- Conway's game of life on a shared Array: each process owns a band of rows; a Barrier separates the generations.
-- Usage: lua examples/life.lua [generations]

local mproc = require("mproc")

local WIDTH, HEIGHT, PROCESSES = 40, 20, 2
local GENERATIONS = math.tointeger(tonumber(arg and arg[1] or 40))

local boards = { [0] = mproc.Array("uint8", WIDTH * HEIGHT), mproc.Array("uint8", WIDTH * HEIGHT) }
local barrier = mproc.Barrier(PROCESSES)

local function index(row, column)
  return row % HEIGHT * WIDTH + column % WIDTH + 1 -- the edges meet
end

local function neighbours(board, row, column)
  local sum = -board[index(row, column)]
  for r = row - 1, row + 1 do
    for c = column - 1, column + 1 do
      sum = sum + board[index(r, c)]
    end
  end
  return sum
end

local function play(first, last)
  for generation = 1, GENERATIONS do
    local old, new = boards[(generation - 1) % 2], boards[generation % 2]
    for row = first, last do
      for column = 0, WIDTH - 1 do
        local n, here = neighbours(old, row, column), index(row, column)
        new[here] = (n == 3 or n == 2 and old[here] == 1) and 1 or 0
      end
    end
    assert(barrier:wait(60)) -- nobody begins the next generation before all have this one
  end
end

for _, cell in ipairs({ { 1, 2 }, { 2, 3 }, { 3, 1 }, { 3, 2 }, { 3, 3 } }) do -- a glider
  boards[0][index(cell[1], cell[2])] = 1
end
local players = {}
for i = 1, PROCESSES do
  players[i] = mproc.Process(play, HEIGHT * (i - 1) // PROCESSES, HEIGHT * i // PROCESSES - 1):start()
end
for _, player in ipairs(players) do
  player:result()
end

local cells = boards[GENERATIONS % 2]:bytes()
for row = 0, HEIGHT - 1 do
  print((cells:sub(row * WIDTH + 1, (row + 1) * WIDTH):gsub(".", { ["\0"] = ".", ["\1"] = "#" })))
end
