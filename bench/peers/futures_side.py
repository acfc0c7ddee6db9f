# SPDX-License-Identifier: MIT
"""The same jobs with Python's concurrent.futures: prints one number. Usage: futures_side.py JOB COUNT"""

import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor

FORK = multiprocessing.get_context("fork")


def identity(x):
    return x


def pool_map(count):
    """Millions of tasks a second, each a chunk of its own."""
    with ProcessPoolExecutor(2, mp_context=FORK) as pool:
        list(pool.map(identity, range(200)))
        began = time.monotonic()
        assert len(list(pool.map(identity, range(count)))) == count
        return count / (time.monotonic() - began) / 1e6


def pool_apply(count):
    """Microseconds of one call."""
    with ProcessPoolExecutor(1, mp_context=FORK) as pool:
        for _ in range(100):
            pool.submit(identity, 1).result()
        began = time.monotonic()
        for _ in range(count):
            pool.submit(identity, 1).result()
        return (time.monotonic() - began) / count * 1e6


JOBS = {"pool_map": pool_map, "pool_apply": pool_apply}

if __name__ == "__main__":
    print(JOBS[sys.argv[1]](int(sys.argv[2])))
