-- SPDX-License-Identifier: MIT
-- Results on their way from the server's stream to the owner's queue. Used by mproc.far.redis.keeper alone.

local message = require("mproc.far.redis.message")

local deliver = {}

-- Entries of the stream, as XRANGE and XREAD give them: what was awaited goes to the owner. The last one's id, or nil.
function deliver.entries(self, entries)
  local last
  for _, entry in ipairs(entries) do
    last = entry[1]
    for k, offset, records in message.results(entry[2]) do
      self.book:deliver(k, offset, records)
    end
  end
  return last
end

return deliver
