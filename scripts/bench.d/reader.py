#!/usr/bin/env -S python3 -B
"""Reads files as a program does, and prints the times as JSON. It is a separate process, so a mount that hangs does
not block the benchmark.

reader.py sequential LIMIT PATH...   reads all paths concurrently, up to LIMIT bytes each
reader.py heads BYTES PATH...        opens each path in turn and reads its first bytes
reader.py tails BYTES PATH...        opens each path in turn and reads its last bytes
reader.py random SEED COUNT BYTES PATH   reads at COUNT random offsets
reader.py digest PATH                prints the SHA-256 of all bytes
reader.py list DIRECTORY             reads all names and attributes
reader.py call URL RATE SECONDS      downloads at up to RATE bytes per second, and prints the slowest second
reader.py forget PATH...             drops the pages of all paths from the page cache
"""

import hashlib
import json
import os
import random
import sys
import threading
import time
import urllib.request

BUFFER_SIZE = 1024 * 1024


def sequential(limit, *paths):
    lengths = [0] * len(paths)
    failures = []

    def read(index, path):
        try:
            buffer = bytearray(BUFFER_SIZE)
            file = os.open(path, os.O_RDONLY)
            while lengths[index] < int(limit):
                count = os.readv(file, [memoryview(buffer)[: int(limit) - lengths[index]]])
                if count == 0:
                    break
                lengths[index] += count
            os.close(file)
        except OSError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=read, args=job) for job in enumerate(paths)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start
    if failures:
        sys.exit(failures[0])
    return {"ms": elapsed * 1000, "bytes": sum(lengths)}


def heads(length, *paths):
    times_ms, digests = [], []
    for path in paths:
        start = time.perf_counter()
        file = os.open(path, os.O_RDONLY)
        data = os.pread(file, int(length), 0)
        times_ms.append((time.perf_counter() - start) * 1000)
        os.close(file)
        digests.append(hashlib.sha256(data).hexdigest())
    return {"ms": times_ms, "digests": digests}


def tails(length, *paths):
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        os.pread(file, int(length), os.fstat(file).st_size - int(length))
        os.close(file)
    return {}


def scattered(seed, count, length, path):
    rng = random.Random(int(seed))
    times_ms = []
    digest = hashlib.sha256()
    file = os.open(path, os.O_RDONLY)
    size = os.fstat(file).st_size
    for _ in range(int(count)):
        # The offsets are not aligned to blocks, like the offsets of seeks in a video.
        offset = rng.randrange(0, size - int(length))
        start = time.perf_counter()
        data = os.pread(file, int(length), offset)
        times_ms.append((time.perf_counter() - start) * 1000)
        digest.update(data)
    os.close(file)
    return {"ms": times_ms, "digests": [digest.hexdigest()]}


def digest(path):
    with open(path, "rb") as file:
        return {"digests": [hashlib.file_digest(file, "sha256").hexdigest()]}


def list_all(directory):
    names = 0
    for parent, directories, files in os.walk(directory, onerror=fail):
        for name in directories + files:
            os.lstat(os.path.join(parent, name))
            names += 1
    return {"names": names}


def fail(error):
    raise error


def call(url, rate, seconds):
    rate, seconds = int(rate), float(seconds)
    # The slices of a second are requested evenly, as a call sends them.
    slice_length, second_lengths = rate // 50, [0] * int(seconds)
    with urllib.request.urlopen(url, timeout=60) as response:
        start = time.monotonic()
        received = 0
        while (elapsed := time.monotonic() - start) < len(second_lengths):
            time.sleep(max(0, received / rate - elapsed))
            length = len(response.read1(slice_length))
            received += length
            second = int(time.monotonic() - start)
            if length == 0 or second >= len(second_lengths):
                break
            second_lengths[second] += length
    return {"bytes_per_second": sum(second_lengths) / len(second_lengths), "slowest_second": min(second_lengths)}


def forget(*paths):
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)
    return {}


if __name__ == "__main__":
    COMMANDS = {
        "sequential": sequential,
        "heads": heads,
        "tails": tails,
        "random": scattered,
        "digest": digest,
        "list": list_all,
        "call": call,
        "forget": forget,
    }
    print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))
