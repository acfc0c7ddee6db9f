# SPDX-License-Identifier: MIT
"""Celery's side of bench/peers.lua: celery_side.py rate|trip PORT N; its workers: celery -A celery_side worker -c 1"""
import os
import sys
import time

from celery import Celery

URL = "redis://127.0.0.1:%s/1" % os.environ["PORT"]
app = Celery("bench", broker=URL, backend=URL)


@app.task(name="double")
def double(x):
    return 2 * x


if __name__ == "__main__":
    what, n = sys.argv[1], int(sys.argv[2])
    double.delay(1).get(timeout=30)
    if what == "rate":
        began = time.monotonic()
        results = [double.delay(i) for i in range(n)]
        for r in results:
            r.get(timeout=100)
        print(n / (time.monotonic() - began))
    else:
        times = []
        for i in range(n):
            began = time.monotonic()
            double.delay(i).get(timeout=10)
            times.append(time.monotonic() - began)
        print(sorted(times)[n // 2])
