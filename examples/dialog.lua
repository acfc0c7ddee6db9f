-- SPDX-License-Identifier: MIT
-- Two processes that talk through a pipe: one asks, the other answers, and each sees at once when the other has gone.

local mproc = require("mproc")

local here, there = mproc.Pipe()

local guesser = mproc.Process{
  name = "guesser",
  target = function(low, high)
    here:close() -- or the stream would never end: this process would hold both ends
    while true do
      local guess = (low + high) // 2
      there:send(guess)
      local answer = there:recv()
      if answer == "right" then
        return guess
      elseif answer == "higher" then
        low = guess + 1
      else
        high = guess - 1
      end
    end
  end,
  args = { 1, 1000 },
}:start()
there:close()

local SECRET = 421
local guesses = 0
for _ = 1, 20 do
  local guess, state = here:recv(10)
  if state == "closed" then
    break
  end
  guesses = guesses + 1
  here:send(guess == SECRET and "right" or guess < SECRET and "higher" or "lower")
end
print(("%s found %d with %d guesses"):format(guesser.name, guesser:result(), guesses))
