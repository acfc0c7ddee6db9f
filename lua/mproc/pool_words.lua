-- SPDX-License-Identifier: MIT
-- Stop words: one byte in shared memory for each job, over which its owner and its workers agree whether it has begun
-- or is called off. Used by pool_job.lua, pool_chunks.lua and pool.lua; workers use pool.stops by themselves.
--
-- word   written by                               states
-- [w]    a worker, before a job's task: 0 -> 1    QUEUED 0, BEGUN 1, STOPPED 2. Only a compare-and-exchange leaves
--        the owner: 0 -> 2 withdraws,             QUEUED, so a job is either begun or withdrawn. The owner sets it
--        any -> 2 stops,                          back to 0 when no message names it any more. A worker that died
--        2, 1 -> 0 gives it to another job        before its 0 -> 1 has begun nothing.

local core = require("mproc.core")

local words = { QUEUED = 0, BEGUN = 1, STOPPED = 2 }

local COUNT = 65535 -- jobs beyond so many at once have none: they cannot be called off

-- True, or nil, message, NAME.
function words.prepare(pool)
  local message, name
  pool.free_words, pool.used_words = {}, 0
  pool.stops, message, name = core.array("uint8", COUNT)
  return pool.stops and true, message, name
end

-- A word, or 0.
function words.take(pool)
  local free = pool.free_words
  local word = free[#free]
  if word then
    free[#free] = nil
    return word
  elseif pool.used_words < COUNT then
    pool.used_words = pool.used_words + 1
    return pool.used_words
  end
  return 0
end

-- No message names it any more.
function words.give_back(pool, word)
  if word ~= 0 then
    pool.stops[word] = words.QUEUED
    local free = pool.free_words
    free[#free + 1] = word
  end
end

function words.has_begun(pool, word)
  return word == 0 or pool.stops[word] == words.BEGUN
end

-- True when nothing of the job had begun; then nothing will.
function words.withdraw(pool, word)
  return word ~= 0 and pool.stops:compare_exchange(word, words.QUEUED, words.STOPPED)
end

-- What has not begun will not, and chunks end early.
function words.stop(pool, word)
  if word ~= 0 then
    pool.stops[word] = words.STOPPED
  end
end

return words
