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

--- Puts the name of the process before what `mproc.print` writes: `[w1] text`; 39 bytes of it at most (31 on arm64).
--- In this process, and in those that start from now on.
---@param on? boolean whether to; default nil: as it is
---@return boolean before whether it was on
function mproc.print_prefix(on) end

--- How much mproc tells on stderr of what happens, one line each. Each level tells what the one before it tells,
--- too.
---@alias mproc.LogLevel
---| '"off"' # nothing
---| '"warning"' # deaths, exit codes, retries, timeouts, what the dead left behind, forks beside threads
---| '"info"' # every start and every end
---| '"debug"' # likely mistakes, and what a process leaves open at its end

--- Sets the level of the log, in this process and in those that start from now on. It begins as `MPROC_DEBUG` says,
--- else as `"off"`.
---@param level? mproc.LogLevel default nil: as it is
---@return mproc.LogLevel before the level before
function mproc.log(level) end
