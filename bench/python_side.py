# SPDX-License-Identifier: MIT
"""The same jobs with Python's multiprocessing: prints one number. Usage: python_side.py JOB COUNT"""

import multiprocessing
import multiprocessing.connection
import multiprocessing.managers
import multiprocessing.reduction
import os
import resource
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


def trips(p, put, get, count):
    """Microseconds from put to the get of what the process p answers; None ends p."""
    p.start()
    for i in range(100):
        put(i)
        get()
    began = time.monotonic()
    for i in range(count):
        put(i)
        get()
    seconds = time.monotonic() - began
    put(None)
    p.join()
    return seconds / count * 1e6


def echo(get, put):
    while (value := get()) is not None:
        put(value)


def echo_queues(there, back):
    echo(there.get, back.put)


def round_trip(count):
    """Microseconds from put to the echo's get."""
    there, back = mp.Queue(), mp.Queue()
    return trips(mp.Process(target=echo_queues, args=(there, back)), there.put, back.get, count)


def echo_connection(connection):
    echo(connection.recv, connection.send)


def pipe_round_trip(count):
    """Microseconds from send to the echo's recv over a duplex Pipe."""
    here, there = mp.Pipe()
    return trips(mp.Process(target=echo_connection, args=(there,)), here.send, here.recv, count)


def answer_condition(c, ready):
    with c:
        ready.put(True)
        while True:
            c.wait()
            c.notify()


def condition(count):
    """Microseconds from notify to the wake by the answer."""
    c, ready = mp.Condition(), mp.Queue()
    p = mp.Process(target=answer_condition, args=(c, ready), daemon=True)
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


MANY = 500


def many_pipes():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard) if hard > 0 else 4096, hard))
    return [mp.Pipe(False) for _ in range(MANY)]


def answer_pipes(order, pipes):
    while (i := order.get()) is not None:
        pipes[i][1].send(i)


def wait_many(count):
    """Microseconds from a put to the answer in one of 500 pipes that are waited for."""
    order, pipes = mp.Queue(), many_pipes()
    p = mp.Process(target=answer_pipes, args=(order, pipes))
    p.start()
    readers = [reader for reader, _ in pipes]
    began = time.monotonic()
    for i in range(count):
        order.put(i % MANY)
        multiprocessing.connection.wait(readers)[0].recv()
    seconds = time.monotonic() - began
    order.put(None)
    p.join()
    return seconds / count * 1e6


def wait_idle(_):
    """Milliseconds of CPU in a second of waiting for 500 pipes."""
    readers = [reader for reader, _ in many_pipes()]
    began = time.process_time()
    multiprocessing.connection.wait(readers, 1)
    return (time.process_time() - began) * 1e3


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


def value_add(count):
    """Millions of additions a second."""
    v = mp.Value("q", 0)
    began = time.monotonic()
    for _ in range(count):
        with v.get_lock():
            v.value += 1
    return count / (time.monotonic() - began) / 1e6


def dict_rate(count, call):
    """Millions of calls a second on a Manager's dict of 1,000 integers."""
    with mp.Manager() as manager:
        d = manager.dict({f"key{i}": i for i in range(1000)})
        began = time.monotonic()
        for i in range(count):
            call(d, f"key{i % 1000}", i)
        return count / (time.monotonic() - began) / 1e6


def dict_get(count):
    return dict_rate(count, lambda d, key, i: d[key])


def dict_set(count):
    return dict_rate(count, lambda d, key, i: d.__setitem__(key, i))


def dict_add(count):
    """Without the lock that it would take to lose no count."""
    return dict_rate(count, lambda d, key, i: d.__setitem__(key, d[key] + 1))


def rate(f, repeats=10):
    """Calls a second."""
    f()
    began = time.monotonic()
    for _ in range(repeats):
        f()
    return repeats / (time.monotonic() - began)


def array_list(count):
    """Millions of elements a second, from shared memory to a list."""
    a = mp.Array("d", [i + 0.5 for i in range(count)])
    return rate(lambda: a[:]) * count / 1e6


def array_set(count):
    """The same from a list."""
    a = mp.Array("d", count)
    values = [i + 0.5 for i in range(count)]

    def job():
        a[:] = values

    return rate(job) * count / 1e6


def array_bytes(count):
    """GB/s from shared memory to bytes: by way of a memoryview, which is Python's quickest."""
    a = mp.Array("B", count)
    view = memoryview(a.get_obj()).cast("B")
    return rate(lambda: bytes(view)) * count / 1e9


def array_set_bytes(count):
    """The same from bytes."""
    a = mp.Array("B", count)
    view = memoryview(a.get_obj()).cast("B")
    text = b"x" * count

    def job():
        view[:] = text

    return rate(job) * count / 1e9


def meet(barrier, count):
    for _ in range(count):
        barrier.wait()


def barrier_rounds(count):
    """Thousands of rounds a second of two processes."""
    b = mp.Barrier(2)
    p = mp.Process(target=meet, args=(b, count + 100))
    p.start()
    meet(b, 100)
    began = time.monotonic()
    meet(b, count)
    seconds = time.monotonic() - began
    p.join()
    return count / seconds / 1e3


def identity(x):
    return x


def pool_map(count):
    """Millions of tasks a second, each a chunk of its own."""
    with mp.Pool(2) as pool:
        pool.map(identity, range(1000), 1)
        began = time.monotonic()
        pool.map(identity, range(count), 1)
        return count / (time.monotonic() - began) / 1e6


LINES_CHUNK = 1000  # Python's imap has none that it chooses


def imap_lines(path):
    """Millions of lines a second."""
    with open(path) as lines, mp.Pool(2) as pool:
        pool.map(len, ["", ""])
        began = time.monotonic()
        count = sum(1 for _ in pool.imap(len, lines, LINES_CHUNK))
        return count / (time.monotonic() - began) / 1e6


def pool_apply(count):
    """Microseconds."""
    with mp.Pool(1) as pool:
        for _ in range(100):
            pool.apply(identity, (1,))
        began = time.monotonic()
        for _ in range(count):
            pool.apply(identity, (1,))
        return (time.monotonic() - began) / count * 1e6

class Counter:
    def __init__(self):
        self.n = 0

    def add(self, k):
        self.n += k
        return self.n


class Counters(multiprocessing.managers.BaseManager):
    pass


Counters.register("Counter", Counter)


def manager_call(count):
    """Microseconds of a call through a proxy."""
    with Counters(ctx=mp) as manager:
        counter = manager.Counter()
        for _ in range(100):
            counter.add(1)
        began = time.monotonic()
        for _ in range(count):
            counter.add(1)
        return (time.monotonic() - began) / count * 1e6


def with_listener(there, here):
    """What here gives with a Client's connection, while there has the Listener's in a process of its own."""
    with multiprocessing.connection.Listener(family="AF_UNIX") as listener:
        p = mp.Process(target=lambda: there(listener.accept()))
        p.start()
        with multiprocessing.connection.Client(listener.address) as c:
            figure = here(c)
        p.join()
        return figure


def socket_round_trip(count):
    """Microseconds from 100 bytes to their answer."""

    def echo_bytes(c):
        try:
            while True:
                c.send_bytes(c.recv_bytes())
        except EOFError:
            pass

    def ask(c):
        text = b"x" * 100
        for i in range(count + 100):
            if i == 100:
                began = time.monotonic()
            c.send_bytes(text)
            c.recv_bytes()
        return (time.monotonic() - began) / count * 1e6

    return with_listener(echo_bytes, ask)


MIB = b"x" * (1 << 20)


def give(c, count):
    for _ in range(count):
        c.send_bytes(MIB)


def take(c, count):
    for _ in range(count):
        c.recv_bytes()


def timed(count, f):
    """GB/s of so many MiB."""
    began = time.monotonic()
    f()
    return count * len(MIB) / (time.monotonic() - began) / 1e9


def socket_to_listener(count):
    return with_listener(
        lambda c: (take(c, count), c.send_bytes(b"")), lambda c: timed(count, lambda: (give(c, count), c.recv_bytes()))
    )


def socket_from_listener(count):
    return with_listener(lambda c: give(c, count), lambda c: timed(count, lambda: take(c, count)))


def take_descriptors(c, back, count):
    for _ in range(count):
        fd = multiprocessing.reduction.recv_handle(c)
        back.put(fd)
        os.close(fd)


def descriptor(count):
    """Microseconds from a duplicated descriptor to the answer of who has got it."""
    here, there = mp.Pipe()
    back = mp.SimpleQueue()
    p = mp.Process(target=take_descriptors, args=(there, back, count))
    p.start()
    began = time.monotonic()
    for _ in range(count):
        fd = os.dup(0)
        multiprocessing.reduction.send_handle(here, fd, p.pid)
        back.get()
        os.close(fd)
    seconds = time.monotonic() - began
    p.join()
    return seconds / count * 1e6


def answer_turns(ping, pong, count):
    pong.release()
    for _ in range(count):
        ping.acquire()
        pong.release()


def alternation(count):
    """Rounds a second of two processes that take turns by two semaphores."""
    ping, pong = mp.Semaphore(0), mp.Semaphore(0)
    p = mp.Process(target=answer_turns, args=(ping, pong, count))
    p.start()
    pong.acquire()
    began = time.monotonic()
    for _ in range(count):
        ping.release()
        pong.acquire()
    seconds = time.monotonic() - began
    p.join()
    return count / seconds


def pair(one, count):
    """Nanoseconds to take what nobody else wants, and let it go."""
    began = time.monotonic()
    for _ in range(count):
        one.acquire()
        one.release()
    return (time.monotonic() - began) / count * 1e9


CONTEND_SECONDS = 0.6
CONTEND_BATCH = 1000


def contend(one, go, counts):
    go.wait()
    stop, count = time.monotonic() + CONTEND_SECONDS, 0
    while time.monotonic() < stop:
        for _ in range(CONTEND_BATCH):
            one.acquire()
            one.release()
        count += CONTEND_BATCH
    counts.put(count)


def contended_lock(processes):
    """Millions of acquisitions a second by that many processes together."""
    one, go, counts = mp.Lock(), mp.Event(), mp.Queue()
    workers = [mp.Process(target=contend, args=(one, go, counts)) for _ in range(processes)]
    for p in workers:
        p.start()
    go.set()
    total = sum(counts.get() for _ in workers)
    for p in workers:
        p.join()
    return total / CONTEND_SECONDS / 1e6


JOBS = {
    "start_join": start_join,
    "round_trip": round_trip,
    "wait_many": wait_many,
    "wait_idle": wait_idle,
    "pipe_round_trip": pipe_round_trip,
    "condition": condition,
    "integers": lambda count: one_way(count, None) / 1e6,
    "tables": lambda count: one_way(count, SMALL_TABLE) / 1e6,
    "kib_strings": lambda count: one_way(count, b"x" * 1024) / 1e6,
    "alternation": alternation,
    "lock": lambda count: pair(mp.Lock(), count),
    "semaphore": lambda count: pair(mp.Semaphore(1), count),
    "contended_lock": contended_lock,
    "value_add": value_add,
    "array_list": array_list,
    "array_set": array_set,
    "array_bytes": array_bytes,
    "array_set_bytes": array_set_bytes,
    "pool_map": pool_map,
    "imap_lines": imap_lines,
    "pool_apply": pool_apply,
    "manager_call": manager_call,
    "socket_round_trip": socket_round_trip,
    "socket_to_listener": socket_to_listener,
    "socket_from_listener": socket_from_listener,
    "descriptor": descriptor,
    "mib_strings": lambda count: one_way(count, b"x" * (1 << 20), 16) * (1 << 20) / 1e9,
    "barrier": barrier_rounds,
    "dict_get": dict_get,
    "dict_set": dict_set,
    "dict_add": dict_add,
}

if __name__ == "__main__":
    ARGUMENT = sys.argv[2]
    print(JOBS[sys.argv[1]](int(ARGUMENT) if ARGUMENT.isdigit() else ARGUMENT))
