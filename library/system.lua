---@meta _
-- SPDX-License-Identifier: MIT

--- # System
---
--- Facts and small services.

---@class mproc
local mproc = {}

--- How many CPUs this process may use: its affinity and the quota of its cgroups. `MPROC_CPU_COUNT` says otherwise;
--- it raises when that is no whole number from 1 up.
---@return integer count from 1 up
function mproc.cpu_count() end

--- This process's pid.
---@return integer pid as the system knows it
function mproc.getpid() end

--- The pid of the process that started this one, or of who has adopted it.
---@return integer pid as the system knows it
function mproc.getppid() end

--- Waits. Ctrl-C ends it with the error `interrupted!`.
---@param seconds number fractions are allowed; 0 or less returns at once
function mproc.sleep(seconds) end

--- The monotonic clock, for measuring and for deadlines; it is the same in all processes.
---@return number seconds since some time in the past
function mproc.time() end

--- `print` in whole lines, which never mix with those of other processes. What `io.write` has buffered goes out
--- before.
---@param ... any shown as `print` shows them
---@return nil failure nothing; nil when it could not be written
---@return string? message why not
---@return string? code the error's name
function mproc.print(...) end
