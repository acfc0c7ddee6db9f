-- SPDX-License-Identifier: MIT
-- A page that is drawn again and again, and its keys. Used by mproc.cli.top and its views.
--
-- What it shows: lines(order) -> a list of lines, again() -> whether there is still something, orders (a list of
-- names).

local core = require("mproc.core")
local mproc = require("mproc")
local page = require("mproc.cli.top.page")

local screen = {
  GAP_SECONDS = 0.2, -- between the two looks of --once
}

local DELAY_SECONDS = 1
local HOME, CLEAR_LINE, CLEAR_BELOW = "\27[H", "\27[K", "\27[J"
local OTHER_SCREEN, OWN_SCREEN = "\27[?1049h\27[?25l", "\27[?25h\27[?1049l"

-- On a terminal: over what stood there.
local function draw(all, columns, height)
  local lines = page.cut(all, columns, height - 1)
  core.write_out(HOME .. table.concat(lines, CLEAR_LINE .. "\n") .. CLEAR_LINE .. "\n" .. CLEAR_BELOW)
end

function screen.write(lines)
  io.write(table.concat(lines, "\n"), "\n")
  io.flush()
end

local Screen = {}

function Screen.open(columns)
  local keys = columns ~= nil and core.terminal_keys(true)
  if columns then
    core.write_out(OTHER_SCREEN)
  end
  return setmetatable({ keys = keys, drawn = columns ~= nil }, Screen)
end

function Screen:__close()
  if self.drawn then
    core.write_out(OWN_SCREEN)
  end
  core.terminal_keys(false)
end

-- The key that was pressed in that time, or nil.
local function wait_for_key(self, seconds)
  if not self.keys then
    core.sleep(seconds)
  elseif #mproc.wait({ 0 }, seconds) > 0 then
    return io.read(1) or "q"
  end
end

local function next_order(orders, order)
  for i, each in ipairs(orders) do
    if each == order then
      return orders[i % #orders + 1]
    end
  end
end

-- Shows it until nothing is left, or q is pressed: exit status 0.
function screen.live(source, given)
  local order = given.sort or source.orders[1]
  local self <close> = Screen.open(page.size())
  io.stdin:setvbuf("no")
  repeat
    local columns, height = page.size()
    if columns then
      draw(source.lines(order), columns, height)
    else
      screen.write(source.lines(order))
    end
    local key = wait_for_key(self, given.delay or DELAY_SECONDS)
    if key == "q" then
      return 0
    elseif key == "k" then
      order = next_order(source.orders, order)
    end
  until not source.again()
  return 0
end

return screen
