# SPDX-License-Identifier: MIT
"""RQ's side of bench/peers.lua: rq_side.py rate|trip N; its workers: rq worker"""
import os
import sys
import time


def double(x):
    return 2 * x


if __name__ == "__main__":
    from redis import Redis
    from rq import Queue
    from rq_side import double as task

    queue = Queue(connection=Redis(port=int(os.environ["PORT"]), db=2))
    what, n = sys.argv[1], int(sys.argv[2])

    def wait(job):
        while job.get_status() not in ("finished", "failed"):
            time.sleep(0.001)

    if what == "rate":
        began = time.monotonic()
        for job in [queue.enqueue(task, i) for i in range(n)]:
            wait(job)
        print(n / (time.monotonic() - began))
    else:
        times = []
        for i in range(n):
            began = time.monotonic()
            wait(queue.enqueue(task, i))
            times.append(time.monotonic() - began)
        print(sorted(times)[n // 2])
