-- SPDX-License-Identifier: MIT
-- Numbers near the limits of what C and Lua hold them in.

local values = {}

local function add(v) values[#values + 1] = v end

for _, limit in ipairs({ 0, 1 << 8, 1 << 16, 1 << 24, 1 << 31, 1 << 32, 1 << 53, 1 << 61, 1 << 62 }) do
  for d = -1, 1 do
    add(limit + d)
    if limit > 0 then add(-(limit + d)) end
  end
end
for _, v in ipairs({ math.maxinteger, math.maxinteger - 1, math.mininteger, math.mininteger + 1, 0.5, 1.5, -0.5, -0.0,
  2.0^24, 2.0^31, 2.0^53, 2.0^63, -2.0^63, 1e19, 1e300, 0 / 0, math.huge, -math.huge }) do
  add(v)
end

return values
