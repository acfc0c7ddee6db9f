# SPDX-License-Identifier: MIT
"""A child that reads 1,000 of 100,000 records that its parent has: prints one number, its own memory in MiB or how many
milliseconds it took. Usage: frozen_side.py pickle|shareable|lmdb memory|ms"""

import os
import pickle
import shutil
import sys
import tempfile
import time
from multiprocessing import shared_memory

RECORDS, READS = 100000, 1000


def records():
    return [
        {"id": i, "name": "user%d" % i, "score": i / 3, "active": i % 2 == 0, "tags": ["a%d" % (i % 10), "b", "c"]}
        for i in range(1, RECORDS + 1)
    ]


def graph():
    """What bench/frozen.lua freezes."""
    return {
        "recs": records(),
        "nums": list(range(1, 10 * RECORDS + 1)),
        "floats": [i + 0.5 for i in range(1, 10 * RECORDS + 1)],
        "map": {"key%d" % i: i for i in range(1, RECORDS + 1)},
    }


def own_mib():
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def in_child(read):
    """(MiB, ms) of a child that calls read()."""
    ours, theirs = os.pipe()
    if os.fork() == 0:
        before, began = own_mib(), time.monotonic()
        kept = read()
        took = time.monotonic() - began
        os.write(theirs, b"%f %f" % (own_mib() - before, took * 1e3))
        os._exit(kept is None)
    os.wait()
    return [float(word) for word in os.read(ours, 100).split()]


def use_pickle():
    block = pickle.dumps(graph(), pickle.HIGHEST_PROTOCOL)
    memory = shared_memory.SharedMemory(create=True, size=len(block))
    memory.buf[: len(block)] = block

    def read():
        g = pickle.loads(memory.buf[: memory.size])
        return g, sum(g["recs"][i]["score"] + len(g["recs"][i]["name"]) for i in range(0, RECORDS, RECORDS // READS))

    try:
        return in_child(read)
    finally:
        memory.close()
        memory.unlink()


def use_shareable():
    """It takes no tables: a list of scores is all that it can share."""
    scores = shared_memory.ShareableList([r["score"] for r in records()])

    def read():
        return sum(scores[i] for i in range(0, RECORDS, RECORDS // READS))

    try:
        return in_child(read)
    finally:
        scores.shm.close()
        scores.shm.unlink()


def use_lmdb():
    import lmdb

    path = tempfile.mkdtemp(dir="/dev/shm")
    env = lmdb.open(path, map_size=1 << 30, sync=False)
    with env.begin(write=True) as writing:
        for r in records():
            writing.put(b"%d" % r["id"], pickle.dumps(r, pickle.HIGHEST_PROTOCOL))
    env.close()

    def read():
        with lmdb.open(path, readonly=True, lock=False).begin() as reading:
            found = [pickle.loads(reading.get(b"%d" % i)) for i in range(1, RECORDS, RECORDS // READS)]
        return sum(r["score"] + len(r["name"]) for r in found)

    try:
        return in_child(read)
    finally:
        shutil.rmtree(path)


kinds = {"pickle": use_pickle, "shareable": use_shareable, "lmdb": use_lmdb}
print(kinds[sys.argv[1]]()[0 if sys.argv[2] == "memory" else 1])
