"""The served files: the same bytes in every run, laid out as meetfs shows them.

Every file lies at SET/YEAR/MEETING/NAME. Web servers show that path; meetfs shows it below its source for the host
SET, because topics and times are chosen to give the same names.
"""

import os
import random
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from plan import MIB, READERS, Plan

# A 32-byte `ftyp` box, so that clients recognize an MP4.
FTYP = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41"

VIDEO = "shared_screen_with_speaker_view.mp4"
NAMES = {"MP4": VIDEO, "TRANSCRIPT": "audio_transcript.vtt", "CHAT": "chat.txt"}

# The word that `grep` looks for. It is at the end of every transcript, so that all of it is read.
NEEDLE = "quorum"


@dataclass(frozen=True)
class Media:
    """One file of the API's manifest."""

    host: str
    topic: str
    start: int
    file_type: str
    path: str
    length: int

    @property
    def inside(self) -> str:
        """Returns the path within its set."""
        return self.path.split("/", 1)[1]


def address(host: str) -> str:
    """Returns the e-mail address of a set's host."""
    return f"{host}@example.org"


class Maker:
    """Writes files below a directory and lists them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made: list[Media] = []
        midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        self.first_day = midnight - timedelta(days=1)

    def add(self, host: str, index: int, topic: str, file_type: str, write) -> None:
        """Adds a file to the meeting `index` of a host; `write` writes the bytes to a path."""
        start = self.first_day - timedelta(days=index // 25) + timedelta(hours=8, minutes=20 * (index % 25))
        meeting = f"{start:%Y-%m-%d %H%M} {topic}"
        path = f"{host}/{start:%Y}/{meeting}/{NAMES[file_type]}"
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target)
        # The end of the recording in the API.
        end = start.timestamp() + 11 + 40 * 60
        os.utime(target, (end, end))
        length = target.stat().st_size
        self.made.append(Media(host, topic, int(start.timestamp()), file_type, path, length))


def make(directory: Path, plan: Plan) -> dict[str, list[Media]]:
    """Makes all sets and returns the files of each."""
    maker = Maker(directory)
    video(maker, "large", 0, plan.large)
    for index in range(plan.heads):
        video(maker, "heads", index, 4 * MIB)
    video(maker, "heads", plan.heads, 24 * MIB)
    for index in range(READERS):
        video(maker, "readers", index, plan.reader_file)
    for index in range(plan.crowd):
        video(maker, "crowd", index, plan.crowd_file)
    maker.add("film", 0, "Index last", "MP4", lambda target: film(target, plan.film))
    for index in range(plan.transcripts):
        transcript(maker, "transcripts", index, 600)
    for index in range(plan.meetings):
        transcript(maker, "meetings", index, 100)
        maker.add("meetings", index, f"Meeting {index:04}", "CHAT", lambda target: target.write_text("hello\n" * 20))
    sets: dict[str, list[Media]] = {}
    for media in maker.made:
        sets.setdefault(media.host, []).append(media)
    return sets


def video(maker: Maker, host: str, index: int, length: int) -> None:
    """A file that begins like an MP4 and continues with noise, which does not compress."""

    def write(target: Path) -> None:
        noise = random.Random(f"{host} {index}")
        with target.open("wb") as out:
            left = length
            while left > 0:
                piece = noise.randbytes(min(left, MIB))
                if left == length:
                    piece = FTYP + piece[len(FTYP) :]
                out.write(piece)
                left -= len(piece)

    maker.add(host, index, f"Video {index:04}", "MP4", write)


def transcript(maker: Maker, host: str, index: int, cues: int) -> None:
    """A WebVTT file with about 100 bytes per cue."""
    words = ["plan", "budget", "next", "week", "release", "question", "agreed", "later", "figures", "team"]

    def write(target: Path) -> None:
        chance = random.Random(f"{host} {index}")
        lines = ["WEBVTT", ""]
        for cue in range(chance.randint(cues // 2, cues)):
            at = f"{cue // 600:02}:{cue // 10 % 60:02}:{cue % 10 * 6:02}"
            lines += [str(cue + 1), f"{at}.000 --> {at}.900", " ".join(chance.choices(words, k=10)), ""]
        lines += [NEEDLE, ""]
        target.write_text("\n".join(lines))

    maker.add(host, index, f"Meeting {index:04}", "TRANSCRIPT", write)


def film(target: Path, length: int) -> None:
    """A real MP4 of at least that length with its index last: a noisy clip, repeated without decoding."""
    clip = target.with_suffix(".clip.mp4")
    ffmpeg = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
    source = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25,noise=alls=60:allf=t", "-f", "lavfi", "-i", "sine"]
    codec = ["-t", "2", "-c:v", "mpeg4", "-q:v", "4", "-c:a", "aac"]
    try:
        subprocess.run([*ffmpeg, *source, *codec, clip], check=True, timeout=120)
        again = str(-(-length // clip.stat().st_size))
        subprocess.run([*ffmpeg, "-stream_loop", again, "-i", clip, "-c", "copy", target], check=True, timeout=120)
    finally:
        clip.unlink(missing_ok=True)
    with target.open("rb") as made:
        assert b"moov" not in made.read(MIB), "the index is not last"
