"""The measured work. Each case mounts, does its work and yields samples."""

import json
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import process
from contenders import CURL, LOCAL, Contender, Mount
from media import NEEDLE, Media
from origin import LOOPBACK, WAN, Origin
from plan import HEAD_BYTES, RANDOM_BYTES, Plan
from process import Failed
from tools import Tools

READER = Path(__file__).with_name("reader.py")

FILM = "ffprobe, index last"

# Minimum size of files that fill the page cache.
LARGE = 4 << 20

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
    # Slowest of several, wrong bytes, files copied and so on.
    extra: dict = field(default_factory=dict)
    # Requests at the origin.
    origin: dict = field(default_factory=dict)
    cpu_seconds: float | None = None
    peak_bytes: int | None = None
    error: str | None = None
    round: int = 0


@dataclass
class Rig:
    """What a case needs besides the contender."""

    tools: Tools
    plan: Plan
    directory: Path
    sets: dict[str, list[Media]]
    origins: dict[str, Origin]

    def mount(self, contender: Contender, profile: str, host: str, **options) -> Mount:
        return Mount(contender, self.tools, self.origins[profile], host, self.directory / "mounted", **options)

    def read(self, *words) -> dict:
        return json.loads(process.run([READER, *words], self.plan.patience))

    def local(self, media: Media) -> Path:
        return self.directory / "media" / media.path

    def reserve_memory(self) -> None:
        """Fills the page cache with all media, then drops it.

        A virtual machine can return freed memory to its host and get it back page by page: reading a local file
        then takes three times as long. Without this, the first reader after a pause would be measured by it.
        """
        if os.geteuid() == 0:
            everything = [self.local(media) for one in self.sets.values() for media in one]
            self.read("sequential", 1 << 62, *[path for path in everything if path.stat().st_size > LARGE])

    def drop_page_cache(self, host: str, paths: list[Path]) -> None:
        """Drops the mounted files from the page cache and loads the origin's."""
        os.sync()
        if os.geteuid() == 0:
            Path("/proc/sys/vm/drop_caches").write_text("3\n")
        else:
            self.read("forget", *paths)
        self.read("sequential", 1 << 62, *[self.local(media) for media in self.sets[host]])

    def made_ready(self, mount: Mount, profile: str, host: str) -> None:
        """Lists everything and waits until the daemon makes no API calls: listing is not measured."""
        self.read("list", mount.root)
        origin, ends = self.origins[profile], time.monotonic() + 120
        asked = None
        while mount.contender.is_meetfs and time.monotonic() < ends:
            before, asked = asked, origin.count()["api"]
            if asked == before:
                break
            time.sleep(0.5)
        self.drop_page_cache(host, [mount.root / media.inside for media in self.sets[host]])

    def measure(self, mount: Mount, profile: str, work: str, unit: str, do) -> Sample:
        """Runs `do`, which returns the value and further figures."""
        origin = self.origins[profile]
        calls, cpu, before = process.read_calls(mount.pid), process.cpu_seconds(mount.pid), origin.count()
        value, extra = do()
        calls = process.read_calls(mount.pid) - calls
        spent = origin.spent(before)
        sample = Sample(profile, work, mount.contender.name, value, unit, extra | {"daemon_reads": calls}, spent)
        sample.cpu_seconds = round(process.cpu_seconds(mount.pid) - cpu, 3)
        sample.peak_bytes = process.peak_bytes(mount.pid)
        return sample


def rate(result: dict) -> tuple[float, dict]:
    return result["bytes"] / 1000 / result["ms"], {"bytes": result["bytes"]}


def check(same: bool, what: str) -> None:
    if not same:
        raise Failed(f"wrong bytes: {what}")


def sequential(rig: Rig, profile: str, contender: Contender):
    """A large file from start to end: cold, with the page cache dropped, with it warm."""
    host = "large" if profile == LOOPBACK else "readers"
    media = rig.sets[host][0]
    length = media.length

    with rig.mount(contender, profile, host) as mount:
        path = mount.root / media.inside

        def read():
            result = rig.read("sequential", length, path)
            check(result["bytes"] == length, f"{result['bytes']} of {length}")
            return rate(result)

        rig.made_ready(mount, profile, host)
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
    """Open and first 64 KiB of files that were never read."""
    chosen = rig.sets["heads"][:-1]
    with rig.mount(contender, profile, "heads") as mount:
        rig.made_ready(mount, profile, "heads")
        yield rig.measure(mount, profile, "open + first 64 KiB", MS, lambda: first_bytes(rig, mount, chosen))


def known_heads(rig: Rig, profile: str, contender: Contender):
    """The same for files with a known lease whose beginning is not cached."""
    if contender.keeps:
        return
    chosen, flush = rig.sets["heads"][:-1], rig.sets["heads"][-1]
    # Minimum memory, so that the last file evicts everything else.
    with rig.mount(contender, profile, "heads", memory="8MiB") as mount:
        rig.made_ready(mount, profile, "heads")
        rig.read("tails", HEAD_BYTES, *[mount.root / media.inside for media in chosen])
        rig.read("sequential", 1 << 62, mount.root / flush.inside)
        rig.drop_page_cache("heads", [mount.root / media.inside for media in chosen])
        work = "open + first 64 KiB, link known"
        yield rig.measure(mount, profile, work, MS, lambda: first_bytes(rig, mount, chosen))


def first_bytes(rig: Rig, mount: Mount, chosen: list[Media]):
    result = rig.read("heads", HEAD_BYTES, *[mount.root / media.inside for media in chosen])
    expected = rig.read("heads", HEAD_BYTES, *[rig.local(media) for media in chosen])
    check(result["digests"] == expected["digests"], "a file's beginning")
    return statistics.median(result["ms"]), {"each": result["ms"], "slowest": max(result["ms"])}


def scattered(rig: Rig, profile: str, contender: Contender):
    """Random reads of 256 KiB in a large file."""
    media = rig.sets["large"][0]
    words = ["random", 20, rig.plan.random_reads, RANDOM_BYTES]

    with rig.mount(contender, profile, "large") as mount:

        def read():
            result = rig.read(*words, mount.root / media.inside)
            check(result["digests"] == rig.read(*words, rig.local(media))["digests"], "a random read")
            return statistics.median(result["ms"]), {"each": result["ms"], "slowest": max(result["ms"])}

        rig.made_ready(mount, profile, "large")
        yield rig.measure(mount, profile, f"{rig.plan.random_reads} random 256 KiB reads", MS, read)


def readers(rig: Rig, profile: str, contender: Contender):
    """Several files at once."""
    length = rig.plan.reader_file if profile == LOOPBACK else rig.plan.wan_reader
    with rig.mount(contender, profile, "readers") as mount:
        paths = [mount.root / media.inside for media in rig.sets["readers"]]
        rig.made_ready(mount, profile, "readers")
        yield rig.measure(
            mount, profile, "four readers", RATE, lambda: rate(rig.read("sequential", length, *paths))
        )


def film(rig: Rig, profile: str, contender: Contender):
    """The first reads of a player of an MP4 whose index is last."""
    with rig.mount(contender, profile, "film") as mount:
        path = mount.root / rig.sets["film"][0].inside
        rig.made_ready(mount, profile, "film")
        yield rig.measure(mount, profile, FILM, MS, lambda: (probe(rig, path), {}))


def probe(rig: Rig, path: Path) -> float:
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", path]
    began = time.perf_counter()
    told = json.loads(process.run(command, rig.plan.patience))
    took = (time.perf_counter() - began) * 1000
    check(len(told["streams"]) == 2, "the film's streams")
    return took


def grep(rig: Rig, profile: str, contender: Contender):
    """A search in all transcripts."""
    with rig.mount(contender, profile, "transcripts") as mount:
        rig.made_ready(mount, profile, "transcripts")
        yield rig.measure(mount, profile, searched(rig), MS, lambda: (search(rig, mount.root), {}))


def searched(rig: Rig) -> str:
    return f"grep -r, {rig.plan.transcripts} transcripts"


def search(rig: Rig, directory: Path) -> float:
    began = time.perf_counter()
    found = process.run(["grep", "-rl", NEEDLE, directory], rig.plan.patience)
    took = (time.perf_counter() - began) * 1000
    check(len(found.splitlines()) == rig.plan.transcripts, f"{len(found.splitlines())} transcripts found")
    return took


def rsync(rig: Rig, profile: str, contender: Contender):
    """A second copy of the same files."""
    copy = rig.directory / "copies" / contender.name
    command = ["rsync", "--archive", "--itemize-changes"]
    if not copy.exists():
        # The first copy is slow on a WAN and is not measured.
        with rig.mount(contender, LOOPBACK, "meetings") as mount:
            rig.made_ready(mount, LOOPBACK, "meetings")
            copy.mkdir(parents=True)
            process.run([*command, f"{mount.root}/", copy], rig.plan.patience)
    with rig.mount(contender, profile, "meetings") as mount:

        def again():
            began = time.perf_counter()
            changes = process.run([*command, f"{mount.root}/", copy], rig.plan.patience)
            took = (time.perf_counter() - began) * 1000
            copied = sum(line.startswith(">f") for line in changes.splitlines())
            return took, {"copied": copied}

        rig.made_ready(mount, profile, "meetings")
        yield rig.measure(mount, profile, f"second rsync -a, {rig.plan.meetings} meetings", MS, again)


def crowd(rig: Rig, profile: str, contender: Contender):
    """Memory with many concurrent readers."""
    if profile == WAN:
        return
    count = len(rig.sets["crowd"])
    with rig.mount(contender, profile, "crowd") as mount:
        paths = [mount.root / media.inside for media in rig.sets["crowd"]]
        rig.made_ready(mount, profile, "crowd")
        work = f"peak memory, {count} files at once"
        sample = rig.measure(mount, profile, work, MEGABYTES, lambda: rate(rig.read("sequential", 1 << 62, *paths)))
        sample.extra["MB/s"], sample.value = sample.value, sample.peak_bytes / 1e6
        yield sample


def takes_part(contender: Contender, profile: str, case: str, number: int) -> bool:
    """Returns whether a contender is measured in a round, from 0: not if its settings make no
    difference, and only once if peers take minutes."""
    if case == "grep" and profile == WAN and number > 0:
        return contender.is_meetfs and contender.connections is None
    return contender.connections is None or (case == "readers" and profile == WAN)


CASES = {
    "sequential": sequential,
    "heads": heads,
    "known-heads": known_heads,
    "random": scattered,
    "readers": readers,
    "film": film,
    "grep": grep,
    "rsync": rsync,
    "crowd": crowd,
}


def bounds(rig: Rig, profile: str, case: str):
    """The same work as one plain download, or from the local disk: the upper bound."""
    media = rig.sets["large" if profile == LOOPBACK else "readers"][0]
    length = media.length
    if case == "sequential":
        seconds, size = download(rig, profile, media, length)
        yield Sample(profile, "cold sequential", CURL, size / 1e6 / seconds, RATE)
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
        each = [download(rig, profile, media, HEAD_BYTES)[0] * 1000 for media in rig.sets["heads"][:-1]]
        yield Sample(profile, "open + first 64 KiB", CURL, statistics.median(each), MS, {"each": each})
    elif case == "film":
        yield Sample(profile, FILM, LOCAL, probe(rig, rig.local(rig.sets["film"][0])), MS)
    elif case == "grep":
        yield Sample(profile, searched(rig), LOCAL, search(rig, rig.directory / "media" / "transcripts"), MS)


def download(rig: Rig, profile: str, media: Media, length: int) -> tuple[float, int]:
    address = f"{rig.origins[profile].media}/{media.path.replace(' ', '%20')}"
    command = ["curl", "--silent", "--fail", "--output", "/dev/null", "--range", f"0-{length - 1}"]
    told = process.run([*command, "--write-out", "%{time_total} %{size_download}", address], rig.plan.patience)
    seconds, size = told.split()
    return float(seconds), int(size)
