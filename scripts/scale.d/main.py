"""Measures meetfs on large archives, served by the demo server on loopback:

  large   10,000 Zoom meetings with eight files each: time of a start and of `ls -lR`, memory, also while details
          are fetched and during a refresh
  pro     the same meetings of forty users with the limits of a Pro plan: calls, also of a restart
  webex   3,000 Webex recordings: calls for the listing, for details, and of a restart

Root is needed to drop the kernel's caches before each `ls -lR`. Prints medians with their spread, and saves every sample
to target/scale/latest.json and to a file with the date. Exit code 1 if a limit is missed.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "target" / "scale"
sys.path.insert(0, str(ROOT / "scripts" / "bench.d"))

from mounted import PATIENCE, Cloud, Mount, forget_peak, resident_bytes  # noqa: E402
from process import Failed, cpu_seconds, peak_bytes, run, wait_until  # noqa: E402

MIB = 1024 * 1024
USERS = 40
# Calls per second of a Pro plan ("Rate limits" in Zoom's API reference).
PRO_LIGHT, PRO_MEDIUM = 30, 20


class Report:
    """Prints results, keeps every sample, and collects missed limits."""

    def __init__(self):
        self.samples: dict[str, dict[str, list[float]]] = {}
        self.missed: list[str] = []
        self.part: dict[str, list[float]] = {}

    def title(self, text: str, indent: str = "") -> None:
        """Begins a section of the report."""
        print(indent + text, flush=True)
        self.part = self.samples.setdefault(text, {})

    def seconds(self, name: str, values: list[float], below: float | None = None) -> None:
        self._line(name, values, "s", "{:.2f}", below)

    def mebibytes(self, name: str, values: list[float], below: float | None = None) -> None:
        """The memory limit applies to every sample instead of their median."""
        self._line(name, [value / MIB for value in values], "MiB", "{:.0f}", below, judged=max)

    def number(self, name: str, value: int | None, most: int | None = None, least: int = 0) -> None:
        value = value or 0
        self.part[name] = [value]
        print(f"    {name:44} {value}", flush=True)
        if (most is not None and value > most) or value < least:
            self.missed.append(f"{name}: {value}, not {least} to {most}")

    def _line(self, name: str, values: list[float], unit: str, form: str, below: float | None, judged=statistics.median) -> None:
        self.part[f"{name}, {unit}"] = values
        middle, least, most = (form.format(value) for value in (statistics.median(values), min(values), max(values)))
        print(f"    {name:44} {middle} {unit} ({least} to {most})", flush=True)
        if below is not None and judged(values) >= below:
            self.missed.append(f"{name}: {form.format(judged(values))} {unit}, not below {below:g}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=WORK, help="run this work, repeatable [default: all]")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="measured restarts [default: 5]")
    parser.add_argument("--meetings", type=int, default=10_000, metavar="N", help="Zoom meetings [default: 10000]")
    parser.add_argument("--recordings", type=int, default=3_000, metavar="N", help="Webex recordings [default: 3000]")
    parser.add_argument("--meetfs", type=Path, metavar="FILE", help="measure this program")
    parser.add_argument("--cloud", type=Path, metavar="FILE", help="with --meetfs: the built example scale_cloud")
    return parser.parse_args()


def programs(given: argparse.Namespace) -> tuple[Path, Path]:
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        raise Failed("install fuse3 first, or run this as root")
    if given.meetfs and given.cloud:
        return given.meetfs.resolve(), given.cloud.resolve()
    print("building meetfs", file=sys.stderr, flush=True)
    run(["cargo", "build", "--release", "--locked", "--quiet", "--bin", "meetfs", "--example", "scale_cloud"], 3600, cwd=ROOT)
    metadata = json.loads(run(["cargo", "metadata", "--no-deps", "--format-version", "1"], 60, cwd=ROOT))
    release = Path(metadata["target_directory"]) / "release"
    return given.meetfs or release / "meetfs", release / "examples" / "scale_cloud"


def zoom_source(access: dict, plan: str, users: str) -> str:
    values = "".join(f'{name} = "{value}"\n' for name, value in access["zoom"].items())
    return f'[source.acme]\nprovider = "zoom"\nplan = "{plan}"\nusers = ["{users}"]\n{values}'


def webex_source(access: dict) -> str:
    values = "".join(f'{name} = "{value}"\n' for name, value in access["webex"].items())
    return f'[source.cisco]\nprovider = "webex"\n{values}'


def drop_caches() -> None:
    if os.geteuid() == 0:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3\n")


def quiet(mount: Mount, cloud: Cloud) -> None:
    """Waits until the recent days and the recycle bins are listed, which a start requests at once."""
    wait_until(lambda: mount.source()["listed"] is not None, PATIENCE, "the last days are listed")
    before, now = -1, cloud.count()["requests"]
    while before < now:
        time.sleep(2)
        before, now = now, cloud.count()["requests"]


def large(report: Report, given: argparse.Namespace, cloud: Cloud, mount: Mount) -> None:
    start = mount.mount()
    report.title(f"{given.meetings} meetings with eight files each, from scratch")
    daemon = mount.daemon()
    report.seconds("mounted after", [start])
    report.mebibytes("resident at most until then", [peak_bytes(daemon)], below=150)
    busy, listings, peaks, began = [], [], [], time.monotonic()
    while mount.names("meeting.json") < given.meetings:
        forget_peak(daemon)
        before = cpu_seconds(daemon)
        time.sleep(5)
        busy.append((cpu_seconds(daemon) - before) / 5)
        drop_caches()
        listings.append(mount.list_all()[0])
        peaks.append(peak_bytes(daemon))
        if time.monotonic() - began > PATIENCE:
            raise Failed("the details do not come in")
    if listings:
        report.title(f"while details come in, for {time.monotonic() - began:.0f} s", indent="  ")
        report.seconds("ls -lR", listings)
        report.mebibytes("resident at most", peaks, below=150)
        report.seconds("of one processor, each second", busy)
    mount.unmount()
    boots, starts, firsts, walks, rests, after_start, refreshes, asked = [], [], [], [], [], [], [], 0
    for _ in range(given.rounds):
        drop_caches()
        boots.append(mount.mount())
        mount.unmount()
        began = time.monotonic()
        starts.append(mount.mount())
        run(["sh", "-c", f"ls '{mount.point}'/*/*"], PATIENCE)
        firsts.append(time.monotonic() - began)
        quiet(mount, cloud)
        daemon = mount.daemon()
        after_start.append(peak_bytes(daemon))
        cloud.clear()
        drop_caches()
        seconds, lines = mount.list_all()
        asked += cloud.count()["requests"]
        walks.append(seconds)
        # A meeting prints nine files, its directory, a total, an empty line, and its entry in the parent.
        if lines < given.meetings * 13:
            raise Failed(f"ls -lR printed {lines} lines")
        rests.append(resident_bytes(daemon))
        forget_peak(daemon)
        mount.refresh()
        refreshes.append(peak_bytes(daemon))
        mount.unmount()
    report.title(f"restarted, medians of {given.rounds} rounds", indent="  ")
    report.seconds("meetfs mount, program and catalog not cached", boots)
    report.seconds("meetfs mount", starts, below=0.5)
    report.seconds("the same and a list of every meeting", firsts, below=0.5)
    report.seconds("ls -lR, nothing cached by the kernel", walks, below=2)
    report.number("requests of all these ls -lR", asked, most=0)
    report.mebibytes("resident at rest", rests, below=150)
    report.mebibytes("resident at most, start and listing", after_start, below=150)
    report.mebibytes("resident at most, full refresh", refreshes, below=150)


def pro(report: Report, given: argparse.Namespace, cloud: Cloud, mount: Mount) -> None:
    report.title(f"{given.meetings} meetings of {USERS} users, asked for one by one on a Pro plan")
    report.seconds("mounted after", [mount.mount()])
    meetings = given.meetings // USERS * USERS
    report.number("meetings shown", mount.names("chat.txt"), most=meetings, least=meetings)
    # Details are light calls; a minute of them would exceed a limit that is not kept.
    time.sleep(60)
    count = cloud.count()
    report.number("calls for listings", count["zoom_lists"])
    within_the_plan(report, count)
    mount.unmount()
    report.title("Zoom on a Pro plan, restarted", indent="  ")
    cloud.clear()
    report.seconds("mounted after", [mount.mount()], below=0.5)
    report.number("meetings shown at once", mount.names("chat.txt"), most=meetings, least=meetings)
    wait_until(lambda: mount.source()["listed"] is not None, PATIENCE, "the last days are listed")
    time.sleep(10)
    count = cloud.count()
    # The recent days can span two windows.
    report.number("calls for listings after a restart", count["zoom_lists"], most=2 * USERS, least=USERS)
    within_the_plan(report, count)
    mount.unmount()


def within_the_plan(report: Report, count: dict) -> None:
    report.number("most medium calls in a second", count["most_medium_calls_in_a_second"], most=PRO_MEDIUM)
    report.number("most light calls in a second", count["most_light_calls_in_a_second"], most=PRO_LIGHT)
    report.number("calls refused", count["refused"], most=0)


def webex(report: Report, given: argparse.Namespace, cloud: Cloud, mount: Mount) -> None:
    report.title(f"{given.recordings} Webex recordings")
    report.seconds("mounted after", [mount.mount()])
    report.number("videos shown at once", mount.names("recording.mp4"), most=given.recordings, least=given.recordings)
    pages = -(-given.recordings // 100)
    # A window that ends within a page costs one more call; two years have 25 windows.
    report.number("calls for the listing", cloud.count()["webex_lists"], most=pages + 25, least=pages)
    began = time.monotonic()
    wait_until(lambda: mount.names("meeting.json") == given.recordings, PATIENCE, "the details are in")
    report.seconds("every detail known after", [time.monotonic() - began])
    mount.unmount()
    report.title("Webex, restarted", indent="  ")
    report.seconds("mounted after", [mount.mount()], below=0.5)
    quiet(mount, cloud)
    count = cloud.count()
    report.number("recordings asked about", count["webex_details"], most=given.recordings, least=given.recordings)
    report.number("most details of one recording", count["most_details_of_a_recording"], most=1, least=1)
    mount.unmount()


WORK = {
    "large": (large, lambda given: ("--users", USERS, "--meetings", given.meetings // USERS), lambda access: zoom_source(access, "business", "all")),
    "pro": (
        pro,
        lambda given: ("--users", USERS, "--meetings", given.meetings // USERS, "--pro"),
        lambda access: zoom_source(access, "pro", "user*@example.org"),
    ),
    "webex": (webex, lambda given: ("--recordings", given.recordings), webex_source),
}


def main() -> int:
    given = arguments()
    report = Report()
    began, load = datetime.now().astimezone(), os.getloadavg()[0]
    directory = Path(tempfile.mkdtemp(prefix="meetfs-scale-"))
    failure = None
    try:
        meetfs, program = programs(given)
        if load > 0.5:
            print(f"the machine is busy (load {load:.1f}): do not trust the results", file=sys.stderr)
        if os.geteuid() != 0:
            print("not root: the kernel's caches are not dropped", file=sys.stderr)
        for name in given.only or WORK:
            work, what, source = WORK[name]
            cloud = Cloud(program, *what(given))
            mount = Mount(meetfs, directory / name, source(cloud.access))
            try:
                work(report, given, cloud, mount)
            finally:
                mount.take_down()
                cloud.stop()
    except Failed as why:
        failure = str(why)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    save(report, given, began, load)
    for missed in report.missed:
        print(f"missed: {missed}", file=sys.stderr)
    if failure:
        print(f"scale: {failure}", file=sys.stderr)
    return 1 if failure or report.missed else 0


def save(report: Report, given: argparse.Namespace, began: datetime, load: float) -> None:
    result = {
        "began": began.isoformat(timespec="seconds"),
        "load_before": load,
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "rounds": given.rounds,
        "meetings": given.meetings,
        "recordings": given.recordings,
        "missed": report.missed,
        "samples": report.samples,
    }
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for path in (OUTPUT / "latest.json", OUTPUT / f"{began:%Y%m%d-%H%M%S}.json"):
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
