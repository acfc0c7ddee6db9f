-- SPDX-License-Identifier: MIT
-- The first prime above a number, by `find`: candidates go to all CPUs, and as soon as the first one in order is known
-- the rest is called off. The input is endless.
-- Usage: lua examples/pool_primes.lua [from]

local mproc = require("mproc")

local FROM = math.tointeger(arg and arg[1]) or 10 ^ 13 // 1 | 0

local function is_prime(n)
  if n % 2 == 0 then
    return n == 2
  end
  for d = 3, math.sqrt(n) // 1 | 0, 2 do
    if n % d == 0 then
      return false
    end
  end
  return n > 1
end

local function odd_numbers(from)
  local n = from + (from % 2 == 0 and 1 or 2) - 2
  return function()
    n = n + 2
    return n
  end
end

local pool <close> = mproc.Pool()
local prime, index = pool:find(is_prime, odd_numbers(FROM))
print(("the first prime above %d is %d, candidate number %d"):format(FROM, prime, index))

-- Twins need a pair: one task looks at both.
local low = pool:find(function(n)
  return is_prime(n) and is_prime(n + 2)
end, odd_numbers(FROM))
print(("the first twins are %d and %d"):format(low, low + 2))
