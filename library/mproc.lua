---@meta mproc
-- SPDX-License-Identifier: MIT

--- # What holds everywhere
---
--- `local mproc = require("mproc")` gives the functions and classes below. The overview is in the README, worked
--- examples are in the guide; here is every name, with its types, units, defaults, results and errors.
---
--- **Timeouts** are the last argument, in seconds; fractions are allowed, and the clock is monotonic. nil waits for
--- ever, 0 or less does not wait. No call waits longer than asked. A boolean raises: Python's `block` is not needed.
--- Ctrl-C ends every wait with the error `interrupted!`, in coroutines too.
---
--- **What is to be expected is a result**: what ran out of time gives its negative value and one fixed word, such as
--- `false, "timeout"` or `nil, "empty"`; a stream that has ended gives `"closed"`; what came from a process that
--- died holding it gives `"abandoned"`.
---
--- **What the system refuses** gives `nil`, a message, and the name of the error, such as `"EAGAIN"` or `"ENOMEM"`.
--- All that makes shared objects may give `nil, message, "ENOMEM"`: the arena is full.
---
--- **A caller's mistake raises**, at the caller's line, with the remedy: an argument of a wrong type, a method
--- called with a dot, an unknown option, the use of what is closed. The texts below name other errors only.
---
--- **Values that travel** are nil, booleans, numbers (bit for bit), strings, tables with any keys and cycles, Lua
--- functions with their upvalues, mproc's objects as handles to the same object (but pools, futures, leases and
--- guards), and tables whose metatable is registered (see `mproc.register`). Anything else raises `cannot send ...`
--- in the sender, with the path to the bad value, and nothing is sent. A value is a snapshot: later changes stay
--- where they are made.
---
--- **A process may be killed at any instruction**: nobody hangs, what it had sent is there as a whole or not at all,
--- and what it held comes back.
---
--- **Shared objects live** as long as a process or a message that waits has a handle to them. Queues that hold each
--- other's handles in a cycle live as long as the tree of processes.
---
--- **Objects** compare equal when they are handles to the same thing, and `tostring` tells their state. Those with
--- an end have `close()` and may be `<close>` variables; a second `close()` is harmless. mproc belongs to the OS
--- thread that first required it in a process; a call from another thread raises.
---
--- Environment, read at the start of a program:
---
--- - `MPROC_ARENA`: bytes of address space for shared memory, such as `64G` (units K, M, G, T). Default: 1T, or what
---   the system grants. It costs memory only where something lies. A queue takes 64 KiB of it, a pipe twice that.
--- - `MPROC_CPU_COUNT`: what `mproc.cpu_count()` gives, instead of what the system says.
--- - `MPROC_TRACE`: a file to which all processes write a timeline, as Chrome's trace events (`mproc trace` sets it);
---   made anew, or, after a `+`, gone on with. A file that cannot be written is an error of `require`.
--- - `MPROC_DEBUG`: the level of the log (see `mproc.log`): `off`, `warning`, `info` or `debug`; `1` is `debug`, `0`
---   is `off`. Default: off.
--- - `MPROC_SPIN`: `0` lets waits sleep at once, instead of looking again for some microseconds first. Default: `1`.
---
--- A value that is none of these raises: that of `MPROC_CPU_COUNT` when it is asked for, the others in `require`.

---@class mproc
local mproc = {}

--- The name and the version: `"mproc 1.0.0"`.
mproc._VERSION = _VERSION

return mproc
