"""Measures meetfs on large archives that the demo server serves on loopback:

  large   10,000 Zoom meetings with eight files each: the time of a start and of `ls -lR`, and the memory, also during
          the requests for details and during a refresh
  pro     the same meetings of forty users with the limits of a Pro plan: API calls, also after a restart
  webex   3,000 Webex recordings: API calls for the listing, for details, and after a restart

Root is needed to drop the kernel's caches before each `ls -lR`. Prints medians with their spread, and saves every sample
to target/scale/latest.json and to a file with the date. The exit code is 1 if a limit is exceeded.
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

from mounted import STEP_TIMEOUT, Cloud, Mount, forget_peak, resident_bytes  # noqa: E402
from process import Failed, cpu_seconds, peak_bytes, run, wait_until  # noqa: E402

MIB = 1024 * 1024
USERS = 40
# Calls per second of a Pro plan ("Rate limits" in Zoom's API reference).
PRO_LIGHT, PRO_MEDIUM = 30, 20


class Report:
    """Prints results, stores every sample, and collects the exceeded limits."""

    def __init__(self):
        self.samples: dict[str, dict[str, list[float]]] = {}
        self.missed: list[str] = []
        self.part: dict[str, list[float]] = {}

    def title(self, text: str, indent: str = "") -> None:
        """Starts a section of the report."""
        print(indent + text, flush=True)
        self.part = self.samples.setdefault(text, {})

    def seconds(self, name: str, values: list[float], below: float | None = None) -> None:
        self._line(name, values, "s", "{:.2f}", below)

    def mebibytes(self, name: str, values: list[float], below: float | None = None) -> None:
        """Reports memory. The limit applies to every sample, not to the median."""
        self._line(name, [value / MIB for value in values], "MiB", "{:.0f}", below, judged=max)

    def number(self, name: str, value: int | None, most: int | None = None, least: int = 0) -> None:
        value = value or 0
        self.part[name] = [value]
        print(f"    {name:44} {value}", flush=True)
        if (most is not None and value > most) or value < least:
            self.missed.append(f"{name}: {value}, not {least} to {most}")

    def _line(self, name: str, values: list[float], unit: str, form: str, below: float | None, judged=statistics.median) -> None:
        self.part[f"{name}, {unit}"] = values
        median, least, most = (form.format(value) for value in (statistics.median(values), min(values), max(values)))
        print(f"    {name:44} {median} {unit} ({least} to {most})", flush=True)
        if below is not None and judged(values) >= below:
            self.missed.append(f"{name}: {form.format(judged(values))} {unit}, not below {below:g}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=WORK, help="run this part, repeatable [default: all]")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="measured restarts [default: 5]")
    parser.add_argument("--meetings", type=int, default=10_000, metavar="N", help="Zoom meetings [default: 10000]")
    parser.add_argument("--recordings", type=int, default=3_000, metavar="N", help="Webex recordings [default: 3000]")
    parser.add_argument("--meetfs", type=Path, metavar="FILE", help="measure this program")
    parser.add_argument("--cloud", type=Path, metavar="FILE", help="with --meetfs: the built example scale_cloud")
    return parser.parse_args()


def programs(options: argparse.Namespace) -> tuple[Path, Path]:
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        raise Failed("install fuse3 first, or run this as root")
    if options.meetfs and options.cloud:
        return options.meetfs.resolve(), options.cloud.resolve()
    print("building meetfs", file=sys.stderr, flush=True)
    run(["cargo", "build", "--release", "--locked", "--quiet", "--bin", "meetfs", "--example", "scale_cloud"], 3600, cwd=ROOT)
    metadata = json.loads(run(["cargo", "metadata", "--no-deps", "--format-version", "1"], 60, cwd=ROOT))
    release = Path(metadata["target_directory"]) / "release"
    return options.meetfs or release / "meetfs", release / "examples" / "scale_cloud"


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


def wait_until_idle(mount: Mount, cloud: Cloud) -> None:
    """Waits until the recent days and the recycle bins are listed. A start requests both at once."""
    wait_until(lambda: mount.source()["listed"] is not None, STEP_TIMEOUT, "the last days are listed")
    previous, current = -1, cloud.count()["requests"]
    while previous < current:
        time.sleep(2)
        previous, current = current, cloud.count()["requests"]


def large(report: Report, options: argparse.Namespace, cloud: Cloud, mount: Mount) -> None:
    start = mount.mount()
    report.title(f"{options.meetings} meetings with eight files each, from scratch")
    daemon = mount.daemon()
    report.seconds("mounted after", [start])
    report.mebibytes("peak memory until then", [peak_bytes(daemon)], below=150)
    processor_use, listings, peaks, start_time = [], [], [], time.monotonic()
    while mount.count_names("meeting.json") < options.meetings:
        forget_peak(daemon)
        previous = cpu_seconds(daemon)
        time.sleep(5)
        processor_use.append((cpu_seconds(daemon) - previous) / 5)
        drop_caches()
        listings.append(mount.list_all()[0])
        peaks.append(peak_bytes(daemon))
        if time.monotonic() - start_time > STEP_TIMEOUT:
            raise Failed("the details were not fetched in time")
    if listings:
        report.title(f"during the requests for details, {time.monotonic() - start_time:.0f} s", indent="  ")
        report.seconds("ls -lR", listings)
        report.mebibytes("peak memory", peaks, below=150)
        report.seconds("processor seconds per second", processor_use)
    mount.unmount()
    cold_starts, starts, first_lists, full_lists, memory_at_rest, after_start, refreshes, requests = [], [], [], [], [], [], [], 0
    for _ in range(options.rounds):
        drop_caches()
        cold_starts.append(mount.mount())
        mount.unmount()
        start_time = time.monotonic()
        starts.append(mount.mount())
        run(["sh", "-c", f"ls '{mount.point}'/*/*"], STEP_TIMEOUT)
        first_lists.append(time.monotonic() - start_time)
        wait_until_idle(mount, cloud)
        daemon = mount.daemon()
        after_start.append(peak_bytes(daemon))
        cloud.clear()
        drop_caches()
        seconds, lines = mount.list_all()
        requests += cloud.count()["requests"]
        full_lists.append(seconds)
        # For each meeting, `ls` prints nine files, the directory, a total, an empty line, and the entry in the parent.
        if lines < options.meetings * 13:
            raise Failed(f"ls -lR printed {lines} lines")
        memory_at_rest.append(resident_bytes(daemon))
        forget_peak(daemon)
        mount.refresh()
        refreshes.append(peak_bytes(daemon))
        mount.unmount()
    report.title(f"restarted, medians of {options.rounds} rounds", indent="  ")
    report.seconds("meetfs mount, program and catalog not cached", cold_starts)
    report.seconds("meetfs mount", starts, below=0.5)
    report.seconds("meetfs mount and a list of all meetings", first_lists, below=0.5)
    report.seconds("ls -lR, nothing cached by the kernel", full_lists, below=2)
    report.number("requests during all ls -lR", requests, most=0)
    report.mebibytes("memory at rest", memory_at_rest, below=150)
    report.mebibytes("peak memory, start and listing", after_start, below=150)
    report.mebibytes("peak memory, full refresh", refreshes, below=150)


def pro(report: Report, options: argparse.Namespace, cloud: Cloud, mount: Mount) -> None:
    report.title(f"{options.meetings} meetings of {USERS} users, listed user by user on a Pro plan")
    report.seconds("mounted after", [mount.mount()])
    meetings = options.meetings // USERS * USERS
    report.number("meetings shown", mount.count_names("chat.txt"), most=meetings, least=meetings)
    # Details are light calls. If meetfs exceeded the limit, a minute of these calls would show it.
    time.sleep(60)
    count = cloud.count()
    report.number("calls for listings", count["zoom_lists"])
    report_plan_limits(report, count)
    mount.unmount()
    report.title("Zoom on a Pro plan, restarted", indent="  ")
    cloud.clear()
    report.seconds("mounted after", [mount.mount()], below=0.5)
    report.number("meetings shown at once", mount.count_names("chat.txt"), most=meetings, least=meetings)
    wait_until(lambda: mount.source()["listed"] is not None, STEP_TIMEOUT, "the last days are listed")
    time.sleep(10)
    count = cloud.count()
    # The recent days can span two windows.
    report.number("calls for listings after a restart", count["zoom_lists"], most=2 * USERS, least=USERS)
    report_plan_limits(report, count)
    mount.unmount()


def report_plan_limits(report: Report, count: dict) -> None:
    report.number("maximum medium calls in a second", count["most_medium_calls_in_a_second"], most=PRO_MEDIUM)
    report.number("maximum light calls in a second", count["most_light_calls_in_a_second"], most=PRO_LIGHT)
    report.number("rejected calls", count["refused"], most=0)


def webex(report: Report, options: argparse.Namespace, cloud: Cloud, mount: Mount) -> None:
    report.title(f"{options.recordings} Webex recordings")
    report.seconds("mounted after", [mount.mount()])
    report.number("videos shown at once", mount.count_names("recording.mp4"), most=options.recordings, least=options.recordings)
    pages = -(-options.recordings // 100)
    # A window that ends within a page needs one more call. Two years have 25 windows.
    report.number("calls for the listing", cloud.count()["webex_lists"], most=pages + 25, least=pages)
    start_time = time.monotonic()
    wait_until(lambda: mount.count_names("meeting.json") == options.recordings, STEP_TIMEOUT, "the details are fetched")
    report.seconds("all details fetched after", [time.monotonic() - start_time])
    mount.unmount()
    report.title("Webex, restarted", indent="  ")
    report.seconds("mounted after", [mount.mount()], below=0.5)
    wait_until_idle(mount, cloud)
    count = cloud.count()
    report.number("recordings with requested details", count["webex_details"], most=options.recordings, least=options.recordings)
    report.number("maximum requests for details of one recording", count["most_details_of_a_recording"], most=1, least=1)
    mount.unmount()


WORK = {
    "large": (large, lambda options: ("--users", USERS, "--meetings", options.meetings // USERS), lambda access: zoom_source(access, "business", "all")),
    "pro": (
        pro,
        lambda options: ("--users", USERS, "--meetings", options.meetings // USERS, "--pro"),
        lambda access: zoom_source(access, "pro", "user*@example.org"),
    ),
    "webex": (webex, lambda options: ("--recordings", options.recordings), webex_source),
}


def main() -> int:
    options = arguments()
    report = Report()
    start_time, load = datetime.now().astimezone(), os.getloadavg()[0]
    directory = Path(tempfile.mkdtemp(prefix="meetfs-scale-"))
    failure = None
    try:
        meetfs, program = programs(options)
        if load > 0.5:
            print(f"the machine is busy (load {load:.1f}): the results are not reliable", file=sys.stderr)
        if os.geteuid() != 0:
            print("without root, the kernel's caches are not dropped", file=sys.stderr)
        for name in options.only or WORK:
            work, server_arguments, source = WORK[name]
            cloud = Cloud(program, *server_arguments(options))
            mount = Mount(meetfs, directory / name, source(cloud.access))
            try:
                work(report, options, cloud, mount)
            finally:
                mount.force_unmount()
                cloud.stop()
    except Failed as error:
        failure = str(error)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    save(report, options, start_time, load)
    for missed in report.missed:
        print(f"limit exceeded: {missed}", file=sys.stderr)
    if failure:
        print(f"scale: {failure}", file=sys.stderr)
    return 1 if failure or report.missed else 0


def save(report: Report, options: argparse.Namespace, start_time: datetime, load: float) -> None:
    result = {
        "began": start_time.isoformat(timespec="seconds"),
        "load_before": load,
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "rounds": options.rounds,
        "meetings": options.meetings,
        "recordings": options.recordings,
        "missed": report.missed,
        "samples": report.samples,
    }
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for path in (OUTPUT / "latest.json", OUTPUT / f"{start_time:%Y%m%d-%H%M%S}.json"):
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
