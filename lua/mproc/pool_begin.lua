-- SPDX-License-Identifier: MIT
-- How a job of many items begins, once it is made. Used by pool_lists.lua and pool_stream.lua.

local feed = require("mproc.pool_feed")
local job = require("mproc.pool_job")
local label = require("mproc.pool_label")
local progress = require("mproc.pool_progress")

-- begin(pool, job, options): the job has its source and its granule (items of a chunk that the caller has asked for, or
-- 1); options are as source.read gives them. A bad one raises, and then nothing has begun.
return function(pool, self, options)
  if self.granule > 1 then
    self.mode = self.mode | label.WHOLE
  end
  if options.zip then
    self.mode = self.mode | label.STAR
  end
  self.progress = progress.start(pool, options.progress, self)
  job.begin(pool, self)
  if pool.broken then
    self:abort(pool.broken_error)
  else
    feed.start(self)
  end
end
