"""Measures meetfs against rclone and mount-s3: the same media from the same nginx, in one run, alternating.

Installs what is missing (nginx from Debian, the newest rclone from PyPI; mount-s3 takes part if it is installed), on
loopback without limits and on a WAN profile: 50 ms to the first byte of each response, 12.5 MB/s per connection.
Peers search the transcripts over the WAN in the first round only: it takes them minutes. Root is needed to install
and to drop the page cache; without it only the pages of the mounted files are dropped.

Prints medians with their spread, requests at the origin, processor time and peak memory. Saves every sample to
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
from contenders import MOUNT_S3_FLAGS, RCLONE_FLAGS, Contender, present, take_down
from process import Failed

EXAMPLES = """examples:
  scripts/bench --quick                     a few minutes, to see that everything works; no figures to quote
  scripts/bench --picture                   the whole thing, and the picture of the README
  scripts/bench --only heads --profile wan  one case
  scripts/bench --from target/bench/latest.json --picture
"""


ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Followed by the process id, so that a later run can remove the files of a killed one.
DIRECTORY = "meetfs-bench-"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes and one round, to check the benchmark")
    parser.add_argument("--rounds", type=int, metavar="N", help="number of rounds [default: 5, with --quick 1]")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"run this case, repeatable: {', '.join(CASES)}")
    parser.add_argument("--profile", action="append", choices=[origin.LOOPBACK, origin.WAN], help="run this profile [default: both]")
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


def interrupted(number: int, _frame) -> None:
    # Runs every `finally`.
    raise KeyboardInterrupt(signal.Signals(number).name)


def main() -> int:
    given = arguments()
    for number in ENDS:
        signal.signal(number, interrupted)
    try:
        if given.saved:
            result = json.loads(given.saved.read_text())
        else:
            result = measured(given)
            save(result, given)
    except Failed as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    print(report.table(result))
    if given.picture:
        target = tools.ROOT / "docs" / "bench.svg"
        target.write_text(picture.draw(result))
        say(f"drew {target}")
    if result["interrupted"]:
        print("bench: interrupted, with the samples so far", file=sys.stderr)
        return 130
    return 1 if report.failures(result) else 0


def measured(given: argparse.Namespace) -> dict:
    found = tools.find(given, say)
    chosen = [contender for contender in present(found) if not given.contender or contender.name in given.contender]
    if not chosen:
        raise Failed(f"none of these is here: {', '.join(given.contender)}")
    size = plan.QUICK if given.quick else plan.FULL
    rounds = given.rounds or (1 if given.quick else 5)
    cases = [case for case in CASES if not given.only or case in given.only]
    profiles = [profile for profile in (origin.LOOPBACK, origin.WAN) if not given.profile or profile in given.profile]
    began, load = datetime.now().astimezone(), os.getloadavg()[0]
    if load > 0.5:
        say(f"the machine is busy (load {load:.1f}): do not trust what comes out")
    clear_remains()
    # mkdtemp: other users have no access.
    directory = Path(tempfile.mkdtemp(prefix=f"{DIRECTORY}{os.getpid()}-"))
    running = []
    samples: list[Sample] = []
    interruption = None
    try:
        rig = set_up(found, size, directory, running)
        all_rounds(rig, rounds, profiles, cases, chosen, samples)
    except KeyboardInterrupt as signalled:
        if not samples:
            raise
        interruption = str(signalled)
    finally:
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)
        take_down(directory / "mounted" / "mount")
        for server in reversed(running):
            server.stop()
        if given.keep:
            (directory / "keep").touch()
            say(f"kept {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
        for number in ENDS:
            signal.signal(number, interrupted)
    return {
        "began": began.isoformat(timespec="seconds"),
        "took_seconds": round((datetime.now().astimezone() - began).total_seconds()),
        "quick": given.quick,
        "load_before": load,
        "interrupted": interruption,
        "rounds": rounds,
        "plan": asdict(size),
        "wan": {"latency_ms": plan.LATENCY_MS, "bytes_per_second": plan.BYTES_PER_SECOND},
        "versions": tools.versions(found),
        "settings": {
            "meetfs": 'memory = "128MiB", disk = "off"; with the disk cache disk = "10GiB"',
            "rclone": " ".join(RCLONE_FLAGS) + " --vfs-cache-mode=off (full)",
            "mount-s3": " ".join(MOUNT_S3_FLAGS) + " (--cache)",
        },
        "contenders": {contender.name: contender.label for contender in chosen},
        "samples": [asdict(sample) for sample in samples],
    }


def clear_remains() -> None:
    """Removes the files of killed runs."""
    for directory in Path(tempfile.gettempdir()).glob(f"{DIRECTORY}*"):
        owner = directory.name.removeprefix(DIRECTORY).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists() and not (directory / "keep").exists():
            say(f"removing {directory}, which a killed run has left")
            take_down(directory / "mounted" / "mount")
            shutil.rmtree(directory, ignore_errors=True)


def set_up(found: tools.Tools, size: plan.Plan, directory: Path, running: list) -> Rig:
    say(f"making media in {directory}")
    (directory / "media").mkdir()
    sets = media.make(directory / "media", size)
    origin.list_for_s3(directory)
    manifest = directory / "manifest.json"
    files = [file for files in sets.values() for file in files]
    manifest.write_text(json.dumps([asdict(file) | {"host": media.address(file.host)} for file in files]))
    nginx = origin.Nginx(found, directory)
    running.append(nginx)
    origins = {}
    for profile in (origin.LOOPBACK, origin.WAN):
        origins[profile] = origin.Origin(profile, found, directory, nginx, manifest)
        running.append(origins[profile])
    return Rig(found, size, directory, sets, origins)


def all_rounds(
    rig: Rig, rounds: int, profiles: list[str], cases: list[str], chosen: list[Contender], samples: list[Sample]
) -> None:
    """Measures everything in turn and adds to `samples`, which survive an interrupt."""
    for number in range(rounds):
        for profile in profiles:
            for place, case in enumerate(cases):
                # Rotates the order, so that no contender always follows the same one.
                turn = (number + place) % len(chosen)
                for contender in [*chosen[turn:], *chosen[:turn]]:
                    if not takes_part(contender, profile, case, number):
                        continue
                    taken = one(CASES[case](rig, profile, contender), profile, case, contender.name)
                    keep(taken, number + 1, samples)
                keep(one(bounds(rig, profile, case), profile, case, "bounds"), number + 1, samples)


def one(samples: Iterator[Sample], profile: str, case: str, name: str) -> list[Sample]:
    """Returns the samples of a case, or the reason why they are missing."""
    taken = []
    try:
        for sample in samples:
            taken.append(sample)
    except Exception as why:  # One failure must not lose the samples of an hour.
        taken.append(Sample(profile, case, name, None, "", error=str(why) or repr(why)))
    return taken


def keep(taken: list[Sample], number: int, samples: list[Sample]) -> None:
    for sample in taken:
        sample.round = number
        samples.append(sample)
        said = sample.error or f"{sample.value:.1f} {sample.unit}"
        say(f"{number} {sample.profile:8} {sample.work:36} {sample.contender:14} {said}")


def save(result: dict, given: argparse.Namespace) -> None:
    tools.OUTPUT.mkdir(parents=True, exist_ok=True)
    latest = given.output or tools.OUTPUT / "latest.json"
    dated = tools.OUTPUT / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    for path in (latest, dated):
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    say(f"saved {latest}")


if __name__ == "__main__":
    sys.exit(main())
