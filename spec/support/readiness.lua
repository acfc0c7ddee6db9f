-- SPDX-License-Identifier: MIT
-- What specs of mproc.wait and fileno share: what is ready, and descriptors to wait for.

local assert = require("luassert")
local hostile = require("hostile")

local readiness = {}

-- Asserts that exactly these of a list are ready, in this order, within `timeout`.
function readiness.exactly(expected, list, timeout)
  local found, word = require("mproc").wait(list, timeout or 20)
  assert.equal(#expected, #found)
  for i, object in ipairs(expected) do
    assert.is_true(rawequal(object, found[i]), "another object is at " .. i)
  end
  assert.equal(#expected == 0 and "timeout" or nil, word)
end

-- The two ends of a pipe of the system's.
function readiness.fd_pair()
  return hostile.pipe()
end

function readiness.close_fds(...)
  for _, fd in ipairs({ ... }) do
    assert.equal(0, hostile.close(fd))
  end
end

return readiness
