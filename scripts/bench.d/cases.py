"""The measured cases. Each case mounts a set of files, does its work and yields samples."""

import json
import os
import re
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import process
from contenders import CURL, LOCAL, PARALLEL_CURL, Contender, Mount
from media import NEEDLE, Media
from origin import Origin
from plan import HEAD_BYTES, LOOPBACK, MIB, RANDOM_BYTES, SHARED, WAN, Plan
from process import Failed
from tools import Tools

READER = Path(__file__).with_name("reader.py")

FILM = "ffprobe, index last"

# Minimum size of files that fill the page cache.
LARGE = 4 << 20

# Length of the ranges of a parallel download.
PARALLEL_RANGE = 2 * MIB

RATE = "MB/s"
MS = "ms"
MEGABYTES = "MB"


@dataclass
class Sample:
    """One measurement."""

    profile: str
    work: str
    contender: str
    value: float | None
    unit: str
    # Further values, such as the slowest of several reads or the number of copied files.
    extra: dict = field(default_factory=dict)
    # Requests that the origin received.
    origin: dict = field(default_factory=dict)
    cpu_seconds: float | None = None
    peak_bytes: int | None = None
    error: str | None = None
    round: int = 0


@dataclass
class Rig:
    """The environment of a case, except for the contender."""

    tools: Tools
    plan: Plan
    directory: Path
    sets: dict[str, list[Media]]
    origins: dict[str, Origin]

    def mount(self, contender: Contender, profile: str, host: str, name: str = "mounted", **options) -> Mount:
        return Mount(contender, self.tools, self.origins[profile], host, self.directory / name, **options)

    def read(self, *words) -> dict:
        return json.loads(process.run([READER, *words], self.plan.timeout))

    def local(self, media: Media) -> Path:
        return self.directory / "media" / media.path

    def reserve_memory(self) -> None:
        """Reads all media into the page cache, so the machine has the memory for it.

        A virtual machine can return freed memory to its host and get it back page by page. Reading a local file
        then takes three times as long. Without this function, the first reader after a pause would look slow.
        """
        if os.geteuid() == 0:
            everything = [self.local(media) for files in self.sets.values() for media in files]
            self.read("sequential", 1 << 62, *[path for path in everything if path.stat().st_size > LARGE])

    def drop_page_cache(self, host: str, paths: list[Path]) -> None:
        """Drops the mounted files from the page cache, and loads those of the origin into it."""
        os.sync()
        if os.geteuid() == 0:
            Path("/proc/sys/vm/drop_caches").write_text("3\n")
        else:
            self.read("forget", *paths)
        self.read("sequential", 1 << 62, *[self.local(media) for media in self.sets[host]])

    def prepare(self, mount: Mount, profile: str, host: str) -> None:
        """Lists all files and waits until the daemon makes no API calls, because listing is not measured."""
        self.read("list", mount.root)
        origin, deadline = self.origins[profile], time.monotonic() + 120
        calls_now = None
        while mount.contender.is_meetfs and time.monotonic() < deadline:
            previous, calls_now = calls_now, origin.count()["api"]
            if calls_now == previous:
                break
            time.sleep(0.5)
        self.drop_page_cache(host, [mount.root / media.path_in_set for media in self.sets[host]])

    def measure(self, mount: Mount, profile: str, work: str, unit: str, work_function) -> Sample:
        """Runs `work_function`, which returns the value and further values, and returns the sample."""
        origin = self.origins[profile]
        calls, cpu, previous = process.read_calls(mount.pid), process.cpu_seconds(mount.pid), origin.count()
        value, extra = work_function()
        calls = process.read_calls(mount.pid) - calls
        origin_requests = origin.requests_since(previous)
        sample = Sample(profile, work, mount.contender.name, value, unit, extra | {"daemon_reads": calls}, origin_requests)
        sample.cpu_seconds = round(process.cpu_seconds(mount.pid) - cpu, 3)
        sample.peak_bytes = process.peak_bytes(mount.pid)
        return sample


def rate(result: dict) -> tuple[float, dict]:
    return result["bytes"] / 1000 / result["ms"], {"bytes": result["bytes"]}


def check(is_equal: bool, name: str) -> None:
    if not is_equal:
        raise Failed(f"wrong content: {name}")


def sequential(rig: Rig, profile: str, contender: Contender):
    """Reads a large file from start to end: uncached, with a dropped page cache, and with a warm page cache."""
    host = "large" if profile == LOOPBACK else "readers"
    media = rig.sets[host][0]
    length = media.length

    with rig.mount(contender, profile, host) as mount:
        path = mount.root / media.path_in_set

        def read():
            result = rig.read("sequential", length, path)
            check(result["bytes"] == length, f"{result['bytes']} of {length}")
            return rate(result)

        rig.prepare(mount, profile, host)
        if profile == LOOPBACK:
            rig.reserve_memory()
            rig.drop_page_cache(host, [path])
        yield rig.measure(mount, profile, "cold sequential", RATE, read)
        if profile == LOOPBACK:
            rig.reserve_memory()
        rig.drop_page_cache(host, [path])
        yield rig.measure(mount, profile, "read again, page cache dropped", RATE, read)
        yield rig.measure(mount, profile, "opened again, page cache warm", RATE, read)
        if profile == LOOPBACK:
            check(rig.read("digest", path) == rig.read("digest", rig.local(media)), media.path)


def heads(rig: Rig, profile: str, contender: Contender):
    """Opens files that were never read, and reads their first 64 KiB."""
    files = rig.sets["heads"][:-1]
    with rig.mount(contender, profile, "heads") as mount:
        rig.prepare(mount, profile, "heads")
        yield rig.measure(mount, profile, "open + first 64 KiB", MS, lambda: first_bytes(rig, mount, files))


def known_heads(rig: Rig, profile: str, contender: Contender):
    """Opens files whose lease is known but whose beginning is not cached, and reads their first 64 KiB."""
    if contender.has_disk_cache:
        return
    files, flush = rig.sets["heads"][:-1], rig.sets["heads"][-1]
    # With the minimum of memory, reading the last file evicts all other blocks.
    with rig.mount(contender, profile, "heads", memory="8MiB") as mount:
        rig.prepare(mount, profile, "heads")
        rig.read("tails", HEAD_BYTES, *[mount.root / media.path_in_set for media in files])
        rig.read("sequential", 1 << 62, mount.root / flush.path_in_set)
        rig.drop_page_cache("heads", [mount.root / media.path_in_set for media in files])
        work = "open + first 64 KiB, link known"
        yield rig.measure(mount, profile, work, MS, lambda: first_bytes(rig, mount, files))


def first_bytes(rig: Rig, mount: Mount, files: list[Media]):
    result = rig.read("heads", HEAD_BYTES, *[mount.root / media.path_in_set for media in files])
    expected = rig.read("heads", HEAD_BYTES, *[rig.local(media) for media in files])
    check(result["digests"] == expected["digests"], "the first bytes of a file")
    return statistics.median(result["ms"]), {"each": result["ms"], "slowest": max(result["ms"])}


def scattered(rig: Rig, profile: str, contender: Contender):
    """Makes random reads of 256 KiB in a large file."""
    media = rig.sets["large"][0]
    words = ["random", 20, rig.plan.random_reads, RANDOM_BYTES]

    with rig.mount(contender, profile, "large") as mount:

        def read():
            result = rig.read(*words, mount.root / media.path_in_set)
            check(result["digests"] == rig.read(*words, rig.local(media))["digests"], "a random read")
            return statistics.median(result["ms"]), {"each": result["ms"], "slowest": max(result["ms"])}

        rig.prepare(mount, profile, "large")
        yield rig.measure(mount, profile, f"{rig.plan.random_reads} random 256 KiB reads", MS, read)


def readers(rig: Rig, profile: str, contender: Contender):
    """Reads several files at once."""
    length = rig.plan.reader_file if profile == LOOPBACK else rig.plan.wan_reader
    with rig.mount(contender, profile, "readers") as mount:
        paths = [mount.root / media.path_in_set for media in rig.sets["readers"]]
        rig.prepare(mount, profile, "readers")
        yield rig.measure(
            mount, profile, "four readers", RATE, lambda: rate(rig.read("sequential", length, *paths))
        )


def medium_files(rig: Rig, profile: str, contender: Contender):
    """Reads many files of a few megabytes with four programs at a time."""
    files = rig.sets["medium-files"]
    with rig.mount(contender, profile, "medium-files") as mount:
        paths = [str(mount.root / media.path_in_set) for media in files]
        command = ["xargs", "-0", "-P", "4", "-n", "1", "sha256sum"]

        def read():
            start = time.monotonic()
            digests = process.run(command, rig.plan.timeout, stdin="\0".join(paths))
            elapsed_ms = (time.monotonic() - start) * 1000
            expected = process.run(["sha256sum", *[rig.local(media) for media in files]], rig.plan.timeout)
            hashes = [sorted(line.split()[0] for line in text.splitlines()) for text in (digests, expected)]
            check(hashes[0] == hashes[1], "a file of 3 MB")
            return elapsed_ms, {"bytes": sum(media.length for media in files)}

        rig.prepare(mount, profile, "medium-files")
        yield rig.measure(mount, profile, f"{len(files)} files of 3 MB, four at a time", MS, read)


def film(rig: Rig, profile: str, contender: Contender):
    """Reads the parts of an MP4 with its index at the end that a player reads first."""
    with rig.mount(contender, profile, "film") as mount:
        path = mount.root / rig.sets["film"][0].path_in_set
        rig.prepare(mount, profile, "film")
        # Loads the program into the page cache, from which it was dropped.
        probe(rig, rig.local(rig.sets["film"][0]))
        yield rig.measure(mount, profile, FILM, MS, lambda: (probe(rig, path), {}))


# Programs that read a part of a film. `PATH` stands for the film.
PARTIAL_READERS = {
    "clip of 10 s, index last": ["ffmpeg", "-v", "error", "-ss", "40", "-t", "10", "-i", "PATH", "-c", "copy", "-f", "matroska", "-y", "/dev/null"],
    "file type": ["file", "--brief", "PATH"],
}


# Programs that read the metadata or a short part of a film.
SCANNERS = {
    "mediainfo": ["mediainfo", "PATH"],
    "exiftool": ["exiftool", "PATH"],
    "thumbnail": ["ffmpegthumbnailer", "-i", "PATH", "-c", "png", "-o", "/dev/null"],
    "first frame in mpv": ["mpv", "--no-config", "--vo=null", "--ao=null", "--frames=1", "PATH"],
    "clip of 5 s, index last": ["ffmpeg", "-v", "error", "-ss", "20", "-t", "5", "-i", "PATH", "-c", "copy", "-f", "matroska", "-y", "/dev/null"],
}


def parts(rig: Rig, profile: str, contender: Contender):
    """Runs programs that read a part of a film. The bytes that the origin sends show what they cost."""
    yield from read_parts(rig, profile, contender, PARTIAL_READERS)


def scans(rig: Rig, profile: str, contender: Contender):
    """Runs the programs of `SCANNERS`, over the WAN only."""
    if profile == WAN:
        yield from read_parts(rig, profile, contender, SCANNERS)


def read_parts(rig: Rig, profile: str, contender: Contender, programs: dict[str, list[str]]):
    for work, words in programs.items():
        with rig.mount(contender, profile, "film") as mount:
            film = rig.sets["film"][0]
            rig.prepare(mount, profile, "film")
            commands = [[path if word == "PATH" else word for word in words] for path in (rig.local(film), mount.root / film.path_in_set)]
            # Loads the program into the page cache, from which it was dropped.
            extra = {"bytes": bytes_read(rig, commands[0], rig.local(film))}
            yield rig.measure(mount, profile, work, MS, lambda: (elapsed_ms(rig, commands[1]), extra))


def bytes_read(rig: Rig, command: list, path: Path) -> int:
    """Returns the number of bytes of a file that a program reads."""
    log = rig.directory / "strace.log"
    process.run(["strace", "-f", "-P", path, "-e", "trace=read,pread64,readv,preadv", "-o", log, *command], rig.plan.timeout)
    lengths = re.findall(r"= (\d+)$", log.read_text(), re.MULTILINE)
    return sum(map(int, lengths))


def elapsed_ms(rig: Rig, command: list) -> float:
    start = time.monotonic()
    process.run(command, rig.plan.timeout)
    return (time.monotonic() - start) * 1000


def probe(rig: Rig, path: Path) -> float:
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", path]
    start = time.perf_counter()
    output = json.loads(process.run(command, rig.plan.timeout))
    elapsed_ms = (time.perf_counter() - start) * 1000
    check(len(output["streams"]) == 2, "the film's streams")
    return elapsed_ms


def grep(rig: Rig, profile: str, contender: Contender):
    """Searches all transcripts."""
    with rig.mount(contender, profile, "transcripts") as mount:
        rig.prepare(mount, profile, "transcripts")
        yield rig.measure(mount, profile, searched(rig), MS, lambda: (search(rig, mount.root), {}))


def searched(rig: Rig) -> str:
    return f"grep -r, {rig.plan.transcripts} transcripts"


def search(rig: Rig, directory: Path) -> float:
    start = time.perf_counter()
    found = process.run(["grep", "-rl", NEEDLE, directory], rig.plan.timeout)
    elapsed_ms = (time.perf_counter() - start) * 1000
    check(len(found.splitlines()) == rig.plan.transcripts, f"{len(found.splitlines())} transcripts found")
    return elapsed_ms


def rsync(rig: Rig, profile: str, contender: Contender):
    """Copies the same files a second time."""
    copy = rig.directory / "copies" / contender.name
    command = ["rsync", "--archive", "--itemize-changes"]
    if not copy.exists():
        # The first copy is slow on a WAN and is not measured.
        with rig.mount(contender, LOOPBACK, "meetings") as mount:
            rig.prepare(mount, LOOPBACK, "meetings")
            copy.mkdir(parents=True)
            process.run([*command, f"{mount.root}/", copy], rig.plan.timeout)
    with rig.mount(contender, profile, "meetings") as mount:

        def copy_again():
            start = time.perf_counter()
            changes = process.run([*command, f"{mount.root}/", copy], rig.plan.timeout)
            elapsed_ms = (time.perf_counter() - start) * 1000
            copied = sum(line.startswith(">f") for line in changes.splitlines())
            return elapsed_ms, {"copied": copied}

        rig.prepare(mount, profile, "meetings")
        yield rig.measure(mount, profile, f"second rsync -a, {rig.plan.meetings} meetings", MS, copy_again)


def crowd(rig: Rig, profile: str, contender: Contender):
    """Measures the memory with many concurrent readers."""
    if profile != LOOPBACK:
        return
    count = len(rig.sets["crowd"])
    with rig.mount(contender, profile, "crowd") as mount:
        paths = [mount.root / media.path_in_set for media in rig.sets["crowd"]]
        rig.prepare(mount, profile, "crowd")
        work = f"peak memory, {count} files at once"
        sample = rig.measure(mount, profile, work, MEGABYTES, lambda: rate(rig.read("sequential", 1 << 62, *paths)))
        sample.extra["MB/s"], sample.value = sample.value, sample.peak_bytes / 1e6
        yield sample


# Settings that leave bandwidth to other programs.
SETTINGS = {"": "", ", connections = 8": "connections = 8", ", bandwidth_limit = 8MiB": 'bandwidth_limit = "8MiB"'}


def call(rig: Rig, profile: str, contender: Contender):
    """Measures what remains of a line for a call, beside copies from two mounts."""
    if profile != SHARED:
        return
    media = rig.sets["readers"]
    url = f"{rig.origins[profile].media}/{media[0].path.replace(' ', '%20')}"
    for label, setting in SETTINGS.items() if contender.is_meetfs else [("", "")]:
        with (
            rig.mount(contender, profile, "readers", setting=setting) as mount,
            rig.mount(contender, profile, "readers", "second", setting=setting) as second,
        ):
            rig.prepare(mount, profile, "readers")
            rig.read("list", second.root)
            files = [str(each.root / one.path_in_set) for each in (mount, second) for one in media[:2]]
            log = rig.directory / "copies.log"
            copies = [process.start(["cat", file], log, stdout=subprocess.DEVNULL) for file in files]

            def receive():
                result = rig.read("call", url, rig.plan.call_rate, rig.plan.call_seconds)
                return result["bytes_per_second"] / 1e6, {"slowest": result["slowest_second"] / 1e6}

            try:
                yield rig.measure(mount, profile, f"call of 4 MB/s beside two mounts{label}", RATE, receive)
            finally:
                for copy in copies:
                    process.stop(copy)


# The cases that are measured on all networks.
CASES_ON_ALL_NETWORKS = ("sequential", "readers", "medium-files", "parts")


def takes_part(contender: Contender, profile: str, case: str, number: int) -> bool:
    """Returns whether a contender is measured in a round; rounds count from 0.

    Cases that take other contenders minutes are measured in one round only. On most networks, only copies and clips
    are measured.
    """
    if profile == SHARED or case == "call":
        return profile == SHARED and case == "call"
    if profile not in (LOOPBACK, WAN) and case not in CASES_ON_ALL_NETWORKS:
        return False
    return contender.is_meetfs or not (case == "grep" and profile == WAN and number > 0)


CASES = {
    "sequential": sequential,
    "heads": heads,
    "known-heads": known_heads,
    "random": scattered,
    "readers": readers,
    "medium-files": medium_files,
    "film": film,
    "parts": parts,
    "scans": scans,
    "grep": grep,
    "rsync": rsync,
    "crowd": crowd,
    "call": call,
}


def bounds(rig: Rig, profile: str, case: str):
    """Measures the upper bounds: the same work as one plain download, or from the local disk."""
    media = rig.sets["large" if profile == LOOPBACK else "readers"][0]
    length = media.length
    if profile == SHARED or (profile not in (LOOPBACK, WAN) and case not in CASES_ON_ALL_NETWORKS):
        return
    if case == "readers":
        length = rig.plan.reader_file if profile == LOOPBACK else rig.plan.wan_reader
        seconds = parallel_download(rig, profile, rig.sets["readers"], length)
        yield Sample(profile, "four readers", PARALLEL_CURL, length * len(rig.sets["readers"]) / 1e6 / seconds, RATE)
    elif case == "sequential":
        if profile in (LOOPBACK, WAN):
            seconds, size = download(rig, profile, media, length)
            yield Sample(profile, "cold sequential", CURL, size / 1e6 / seconds, RATE)
        seconds = parallel_download(rig, profile, [media], length)
        yield Sample(profile, "cold sequential", PARALLEL_CURL, length / 1e6 / seconds, RATE)
        if profile == LOOPBACK:
            rig.reserve_memory()
            if os.geteuid() == 0:
                Path("/proc/sys/vm/drop_caches").write_text("3\n")
            else:
                rig.read("forget", rig.local(media))
            value, _ = rate(rig.read("sequential", length, rig.local(media)))
            yield Sample(profile, "read again, page cache dropped", LOCAL, value, RATE)
            value, _ = rate(rig.read("sequential", length, rig.local(media)))
            yield Sample(profile, "opened again, page cache warm", LOCAL, value, RATE)
    elif case == "heads":
        times_ms = [download(rig, profile, media, HEAD_BYTES)[0] * 1000 for media in rig.sets["heads"][:-1]]
        yield Sample(profile, "open + first 64 KiB", CURL, statistics.median(times_ms), MS, {"each": times_ms})
    elif case == "film":
        yield Sample(profile, FILM, LOCAL, probe(rig, rig.local(rig.sets["film"][0])), MS)
    elif case == "grep":
        yield Sample(profile, searched(rig), LOCAL, search(rig, rig.directory / "media" / "transcripts"), MS)


def parallel_download(rig: Rig, profile: str, files: list[Media], length: int) -> float:
    """Downloads the first `length` bytes of files over 64 connections. Returns the time in seconds."""
    transfers = []
    for media in files:
        url = f"{rig.origins[profile].media}/{media.path.replace(' ', '%20')}"
        for begin in range(0, length, PARALLEL_RANGE):
            end = min(begin + PARALLEL_RANGE, length) - 1
            # A lossy network resets some of the transfers.
            retries = "retry = 5\nretry-all-errors\n"
            transfers.append(f'url = "{url}"\nrange = "{begin}-{end}"\noutput = "/dev/null"\n{retries}')
    # curl applies options to one transfer only, up to `next`.
    configuration = "next\n".join(transfers)
    command = ["curl", "--silent", "--parallel", "--parallel-immediate", "--parallel-max", "64", "--config", "-"]
    start = time.monotonic()
    process.run(command, rig.plan.timeout, stdin=configuration)
    return time.monotonic() - start


def download(rig: Rig, profile: str, media: Media, length: int) -> tuple[float, int]:
    url = f"{rig.origins[profile].media}/{media.path.replace(' ', '%20')}"
    command = ["curl", "--silent", "--fail", "--output", "/dev/null", "--range", f"0-{length - 1}"]
    output = process.run([*command, "--write-out", "%{time_total} %{size_download}", url], rig.plan.timeout)
    seconds, size = output.split()
    return float(seconds), int(size)
