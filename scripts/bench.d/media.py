"""The served files. They have the same bytes in every run and the same paths as in meetfs.

Every file is at SET/YEAR/MEETING/NAME. Web servers serve that path. For the host SET, meetfs has the same path below
its source, because the topics and times are chosen to result in the same names.
"""

import os
import random
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from plan import MIB, READERS, Plan

# A 32-byte `ftyp` box, which marks a file as an MP4.
FTYP = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41"

VIDEO = "shared_screen_with_speaker_view.mp4"
NAMES = {"MP4": VIDEO, "TRANSCRIPT": "audio_transcript.vtt", "CHAT": "chat.txt"}

# The word that `grep` searches for. It is at the end of every transcript, so `grep` reads all of it.
NEEDLE = "quorum"


@dataclass(frozen=True)
class Media:
    """One file in the manifest of the API."""

    host: str
    topic: str
    start: int
    file_type: str
    path: str
    length: int

    @property
    def path_in_set(self) -> str:
        """Returns the path within the set of the file."""
        return self.path.split("/", 1)[1]


def address(host: str) -> str:
    """Returns the e-mail address of the meeting host of a set."""
    return f"{host}@example.org"


class Maker:
    """Writes files below a directory, and stores their list."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files: list[Media] = []
        midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        self.first_day = midnight - timedelta(days=1)

    def add(self, host: str, index: int, topic: str, file_type: str, write) -> None:
        """Adds a file to the meeting `index` of a host. `write` writes the bytes to a path."""
        start = self.first_day - timedelta(days=index // 25) + timedelta(hours=8, minutes=20 * (index % 25))
        meeting = f"{start:%Y-%m-%d %H%M} {topic}"
        path = f"{host}/{start:%Y}/{meeting}/{NAMES[file_type]}"
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target)
        # The API states this time as the end of the recording.
        end = start.timestamp() + 11 + 40 * 60
        os.utime(target, (end, end))
        length = target.stat().st_size
        self.files.append(Media(host, topic, int(start.timestamp()), file_type, path, length))


def create_all(directory: Path, plan: Plan) -> dict[str, list[Media]]:
    """Creates all sets, and returns the files of each set."""
    maker = Maker(directory)
    video(maker, "large", 0, plan.large)
    for index in range(plan.heads):
        video(maker, "heads", index, 4 * MIB)
    video(maker, "heads", plan.heads, 24 * MIB)
    for index in range(READERS):
        video(maker, "readers", index, plan.reader_file)
    for index in range(plan.medium_files):
        video(maker, "medium-files", index, plan.medium_file)
    for index in range(plan.crowd):
        video(maker, "crowd", index, plan.crowd_file)
    maker.add("film", 0, "Index last", "MP4", lambda target: film(target, plan.film))
    for index in range(plan.transcripts):
        transcript(maker, "transcripts", index, 600)
    for index in range(plan.meetings):
        transcript(maker, "meetings", index, 100)
        maker.add("meetings", index, f"Meeting {index:04}", "CHAT", lambda target: target.write_text("hello\n" * 20))
    sets: dict[str, list[Media]] = {}
    for media in maker.files:
        sets.setdefault(media.host, []).append(media)
    return sets


def video(maker: Maker, host: str, index: int, length: int) -> None:
    """Adds a file that begins like an MP4 and continues with random bytes, which cannot be compressed."""

    def write(target: Path) -> None:
        rng = random.Random(f"{host} {index}")
        with target.open("wb") as out:
            remaining = length
            while remaining > 0:
                chunk = rng.randbytes(min(remaining, MIB))
                if remaining == length:
                    chunk = FTYP + chunk[len(FTYP) :]
                out.write(chunk)
                remaining -= len(chunk)

    maker.add(host, index, f"Video {index:04}", "MP4", write)


def transcript(maker: Maker, host: str, index: int, cues: int) -> None:
    """Adds a WebVTT file with about 100 bytes per cue."""
    words = ["plan", "budget", "next", "week", "release", "question", "agreed", "later", "figures", "team"]

    def write(target: Path) -> None:
        rng = random.Random(f"{host} {index}")
        lines = ["WEBVTT", ""]
        for cue in range(rng.randint(cues // 2, cues)):
            timestamp = f"{cue // 600:02}:{cue // 10 % 60:02}:{cue % 10 * 6:02}"
            lines += [str(cue + 1), f"{timestamp}.000 --> {timestamp}.900", " ".join(rng.choices(words, k=10)), ""]
        lines += [NEEDLE, ""]
        target.write_text("\n".join(lines))

    maker.add(host, index, f"Meeting {index:04}", "TRANSCRIPT", write)


def film(target: Path, length: int) -> None:
    """Writes a real MP4 of at least this length, with its index at the end. It repeats one noisy clip."""
    clip = target.with_suffix(".clip.mp4")
    ffmpeg = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
    source = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25,noise=alls=60:allf=t", "-f", "lavfi", "-i", "sine"]
    codec = ["-t", "2", "-c:v", "mpeg4", "-q:v", "4", "-c:a", "aac"]
    try:
        subprocess.run([*ffmpeg, *source, *codec, clip], check=True, timeout=120)
        repetitions = str(-(-length // clip.stat().st_size))
        subprocess.run([*ffmpeg, "-stream_loop", repetitions, "-i", clip, "-c", "copy", target], check=True, timeout=120)
    finally:
        clip.unlink(missing_ok=True)
    with target.open("rb") as video_file:
        assert b"moov" not in video_file.read(MIB), "the index is not last"
