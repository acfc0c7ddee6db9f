-- SPDX-License-Identifier: MIT
-- The Mandelbrot set, row by row: imap computes rows on all CPUs and gives them in order, so that it is written
-- while it is computed, and never is in memory as a whole.
-- Usage: lua examples/pool_mandelbrot.lua [width [file.pgm]]

local mproc = require("mproc")

local WIDTH = math.tointeger(arg and arg[1]) or 72
local FILE = arg and arg[2]
local HEIGHT = FILE and WIDTH * 2 // 3 or WIDTH // 3
local STEPS = 255

local function escape_time(cx, cy)
  local x, y = 0.0, 0.0
  for n = 1, STEPS do
    local xx, yy = x * x, y * y
    if xx + yy > 4 then
      return n
    end
    x, y = xx - yy + cx, 2 * x * y + cy
  end
  return 0
end

local function row(j)
  local pixels = {}
  local cy = (j - 0.5) / HEIGHT * 2 - 1
  for i = 1, WIDTH do
    pixels[i] = escape_time((i - 0.5) / WIDTH * 3 - 2.2, cy)
  end
  return string.char(table.unpack(pixels))
end

local function rows()
  local j = 0
  return function()
    j = j + 1
    return j <= HEIGHT and j or nil
  end
end

local pool <close> = mproc.Pool()
local out <close> = FILE and assert(io.open(FILE, "wb"))
if out then
  out:write(("P5 %d %d 255\n"):format(WIDTH, HEIGHT))
end
for _, pixels in pool:imap(row, rows()) do
  if out then
    out:write(pixels)
  else
    print((pixels:gsub(".", function(c)
      local n = c:byte()
      return n == 0 and "#" or n > 12 and "+" or n > 5 and "." or " "
    end)))
  end
end
