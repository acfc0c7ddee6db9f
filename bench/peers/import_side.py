# SPDX-License-Identifier: MIT
"""What it costs to load Python's multiprocessing: prints one number. Usage: import_side.py ms | kib"""

import sys
import time


def resident_kib():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))


kib, began = resident_kib(), time.process_time()
import multiprocessing.pool  # noqa: E402, F401  what Queue, Process and Pool need
import multiprocessing.queues  # noqa: E402, F401

milliseconds = (time.process_time() - began) * 1e3
print(milliseconds if sys.argv[1] == "ms" else resident_kib() - kib)
