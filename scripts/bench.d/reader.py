#!/usr/bin/env -S python3 -B
"""Reads files as a program would, and prints the times as JSON. It is a separate process, so that a hung mount
does not hang the benchmark.

reader.py sequential LIMIT PATH...   all paths concurrently, up to LIMIT bytes each
reader.py heads BYTES PATH...        in sequence: open and read the first bytes
reader.py tails BYTES PATH...        in sequence: open and read the last bytes
reader.py random SEED COUNT BYTES PATH
reader.py digest PATH
reader.py list DIRECTORY             reads every name and attribute
reader.py forget PATH...             drops the paths' pages from the page cache
"""

import hashlib
import json
import os
import random
import sys
import threading
import time

STEP = 1024 * 1024


def sequential(limit, *paths):
    moved = [0] * len(paths)
    failures = []

    def read(index, path):
        try:
            buffer = bytearray(STEP)
            file = os.open(path, os.O_RDONLY)
            while moved[index] < int(limit):
                got = os.readv(file, [memoryview(buffer)[: int(limit) - moved[index]]])
                if got == 0:
                    break
                moved[index] += got
            os.close(file)
        except OSError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=read, args=job) for job in enumerate(paths)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    if failures:
        sys.exit(failures[0])
    return {"ms": took * 1000, "bytes": sum(moved)}


def heads(length, *paths):
    took, digests = [], []
    for path in paths:
        began = time.perf_counter()
        file = os.open(path, os.O_RDONLY)
        got = os.pread(file, int(length), 0)
        took.append((time.perf_counter() - began) * 1000)
        os.close(file)
        digests.append(hashlib.sha256(got).hexdigest())
    return {"ms": took, "digests": digests}


def tails(length, *paths):
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        os.pread(file, int(length), os.fstat(file).st_size - int(length))
        os.close(file)
    return {}


def scattered(seed, count, length, path):
    chance = random.Random(int(seed))
    took = []
    digest = hashlib.sha256()
    file = os.open(path, os.O_RDONLY)
    size = os.fstat(file).st_size
    for _ in range(int(count)):
        # Not aligned to blocks: seeks in a video are not either.
        offset = chance.randrange(0, size - int(length))
        began = time.perf_counter()
        got = os.pread(file, int(length), offset)
        took.append((time.perf_counter() - began) * 1000)
        digest.update(got)
    os.close(file)
    return {"ms": took, "digests": [digest.hexdigest()]}


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
        "forget": forget,
    }
    print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))
