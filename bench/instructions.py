# SPDX-License-Identifier: MIT
"""What an operation costs whatever else the machine does: instructions, and among them those that lock the bus, counted
by valgrind's callgrind as the difference between N and 2 N operations. Needs valgrind and objdump.
Usage: instructions.py [NAME ...], names being those of bench/operations.lua."""

import collections
import os
import re
import statistics
import subprocess
import sys
import tempfile

COUNT = 2000
REPEATS = 5
LUA = os.environ.get("LUA", "lua5.4")
PAGE = 4096
NAMES = [
    "two_empty_calls", "one_empty_field",
    "put_get_integer", "put_get_record", "put_get_kib_string", "put_many_get_many_10", "put_many_get_many_100", "put",
    "get_from_empty", "encode_decode_record", "lock_unlock", "semaphore", "value_add", "value_get",
]

disassembled = {}


def disassembly(path):
    """(addresses of locking instructions, address of each function) of a library, both as the file has them."""
    if path not in disassembled:
        text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True).stdout
        locking = re.findall(r"^\s*([0-9a-f]+):\s+(?:lock|mfence|xchg[^\n]*\()", text, re.M)
        functions = re.findall(r"^([0-9a-f]+) <([^>+]+)>:", text, re.M)
        disassembled[path] = {int(a, 16) for a in locking}, {name: int(a, 16) for a, name in functions}
    return disassembled[path]


def executed(path):
    """Of a callgrind file: {(library, address): times}, {(library, function): its lowest address}."""
    times, lowest = collections.Counter(), {}
    library = function = None
    inclusive = False
    with open(path) as file:
        for line in file:
            if line.startswith("ob="):
                library = line[3:].strip()
            elif line.startswith("fn="):
                function = line[3:].strip().split("'")[0]
            elif line.startswith("calls="):
                inclusive = True  # of the next line
            elif line.startswith("0x"):
                words = line.split()
                address = int(words[0], 16)
                if not inclusive:
                    times[library, address] += int(words[-1])
                    lowest[library, function] = min(lowest.get((library, function), address), address)
                inclusive = False
    return times, lowest


def bases(lowest):
    """Where each library was loaded: the page-aligned distance that most of its functions agree on."""
    votes = collections.defaultdict(collections.Counter)
    for (library, function), address in lowest.items():
        if ".so" in library and function in disassembly(library)[1]:
            distance = address - disassembly(library)[1][function]
            if distance % PAGE == 0:
                votes[library][distance] += 1
    return {library: counter.most_common(1)[0][0] for library, counter in votes.items()}


def count(name, n):
    """(instructions, locking ones) of a whole run."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(
            ["valgrind", "--tool=callgrind", "--dump-instr=yes", "--compress-pos=no", "--compress-strings=no",
             "--callgrind-out-file=" + out.name, LUA, "bench/operations.lua", name, str(n)],
            check=True, capture_output=True, env=dict(os.environ, MPROC_ARENA="4G"))
        times, lowest = executed(out.name)
    base = bases(lowest)
    locking = sum(
        n for (library, address), n in times.items()
        if library in base and address - base[library] in disassembly(library)[0])
    return sum(times.values()), locking


def cost(name):
    """The median of some runs: Lua's hash tables have another seed in each, and another order of their nodes."""
    pairs = [(count(name, COUNT), count(name, 2 * COUNT)) for _ in range(REPEATS)]
    return [statistics.median((twice[i] - once[i]) / COUNT for once, twice in pairs) for i in (0, 1)]


if __name__ == "__main__":
    nothing = cost("nothing")
    print("%-24s %12s %8s" % ("", "instructions", "locking"))
    for wanted in sys.argv[1:] or NAMES:
        total, locked = cost(wanted)
        print("%-24s %12.0f %8.1f" % (wanted, total - nothing[0], locked), flush=True)
