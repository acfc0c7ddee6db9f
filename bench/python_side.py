# SPDX-License-Identifier: MIT
"""The same jobs with Python's multiprocessing: prints one number. Usage: python_side.py JOB COUNT"""

import multiprocessing
import sys
import time

mp = multiprocessing.get_context("fork")

SMALL_TABLE = {"id": 1, "name": "x", "tags": [1, 2, 3]}


def nothing():
    pass


def start_join(count):
    """Microseconds to start and join an empty process."""
    began = time.monotonic()
    for _ in range(count):
        p = mp.Process(target=nothing)
        p.start()
        p.join()
    return (time.monotonic() - began) / count * 1e6


def echo(there, back):
    while (value := there.get()) is not None:
        back.put(value)


def round_trip(count):
    """Microseconds from put to the echo's get."""
    there, back = mp.Queue(), mp.Queue()
    p = mp.Process(target=echo, args=(there, back))
    p.start()
    for i in range(100):
        there.put(i)
        back.get()
    began = time.monotonic()
    for i in range(count):
        there.put(i)
        back.get()
    seconds = time.monotonic() - began
    there.put(None)
    p.join()
    return seconds / count * 1e6


def answer(c, ready):
    with c:
        ready.put(True)
        while True:
            c.wait()
            c.notify()


def condition(count):
    """Microseconds from notify to the wake by the answer."""
    c, ready = mp.Condition(), mp.Queue()
    p = mp.Process(target=answer, args=(c, ready), daemon=True)
    p.start()
    ready.get()
    with c:
        for i in range(100):
            c.notify()
            c.wait()
        began = time.monotonic()
        for i in range(count):
            c.notify()
            c.wait()
        seconds = time.monotonic() - began
    p.kill()
    p.join()
    return seconds / count * 1e6


def producer(q, ready, go, count, value):
    ready.put(True)
    go.get()
    for i in range(count):
        q.put(i if value is None else value)


def one_way(count, value, maxsize=0):
    """Messages a second."""
    q, ready, go = mp.Queue(maxsize), mp.Queue(), mp.Queue()
    p = mp.Process(target=producer, args=(q, ready, go, count, value))
    p.start()
    ready.get()
    began = time.monotonic()
    go.put(True)
    for _ in range(count):
        q.get()
    seconds = time.monotonic() - began
    p.join()
    return count / seconds


JOBS = {
    "start_join": start_join,
    "round_trip": round_trip,
    "condition": condition,
    "integers": lambda count: one_way(count, None) / 1e6,
    "tables": lambda count: one_way(count, SMALL_TABLE) / 1e6,
    "kib_strings": lambda count: one_way(count, b"x" * 1024) / 1e6,
    "mib_strings": lambda count: one_way(count, b"x" * (1 << 20), 16) * (1 << 20) / 1e9,
}

if __name__ == "__main__":
    print(JOBS[sys.argv[1]](int(sys.argv[2])))
