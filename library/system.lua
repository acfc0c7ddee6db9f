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

--- Whether the texts of `mproc.print` begin with the name of the process, as in `[w1] text`, here and in processes that
--- start from now on. Of the name 39 bytes are shown.
---@param on? boolean default nil: it stays as it is
---@return boolean before whether they did so far
function mproc.print_prefix(on) end

--- What mproc tells of itself on stderr, one line each: `"off"`, `"warning"` (deaths, retries, what the dead left
--- behind), `"info"` (all starts and ends as well) or `"debug"` (likely mistakes and what is left open, too). Processes
--- inherit it when they start. `MPROC_DEBUG` sets it from the beginning: 1, 0 or a level. Raises for any other level.
---@param level? "off"|"warning"|"info"|"debug" default nil: it stays as it is
---@return "off"|"warning"|"info"|"debug" before the level so far
function mproc.log(level) end
