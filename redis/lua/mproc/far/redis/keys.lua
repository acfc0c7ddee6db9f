-- SPDX-License-Identifier: MIT
-- The keys of a queue. Used by all of mproc.far.redis. All have one hash tag, so a cluster keeps them on one server.
--
--   {mp:Q}:t      stream, group "w": tasks that wait or are in hand; a consumer is one worker program
--   {mp:Q}:w      sorted set: worker -> when its lease ends, in seconds of the server's clock; 0: it left in order
--   {mp:Q}:i      hash: worker -> what it tells of itself (message.lua); "reaped": when the dead were last looked for
--   {mp:Q}:r:P    stream: results for the pool P. It is there: the owner lives. Expires some time after its last beat

local keys = {
  GROUP = "w",
  REAPED = "reaped", -- a field of i that is no worker: a worker's name has colons
}

-- t, w, i and result(pool) of a queue.
function keys.of(queue)
  local tag = ("{mp:%s}"):format(queue)
  return {
    tasks = tag .. ":t", workers = tag .. ":w", info = tag .. ":i", results = tag .. ":r:*",
    result = function(pool)
      return tag .. ":r:" .. pool
    end,
  }
end

return keys
