"""The sizes and counts of a run."""

from dataclasses import dataclass

MIB = 1024 * 1024

# The simulated WAN: the latency of each response, and the rate of each connection.
LATENCY_MS = 50
BYTES_PER_SECOND = 12_500_000

HEAD_BYTES = 64 * 1024
RANDOM_BYTES = 256 * 1024
READERS = 4


@dataclass(frozen=True)
class Plan:
    """Sizes of files in bytes, and numbers of files and reads."""

    large: int = 1024 * MIB
    reader_file: int = 256 * MIB
    wan_reader: int = 64 * MIB
    film: int = 300 * 1000 * 1000
    heads: int = 8
    random_reads: int = 20
    transcripts: int = 2000
    meetings: int = 500
    crowd: int = 100
    crowd_file: int = 8 * MIB
    # Timeout of one work in seconds. A work that exceeds it is recorded as failed.
    timeout: float = 900.0


FULL = Plan()

QUICK = Plan(
    large=64 * MIB,
    reader_file=16 * MIB,
    wan_reader=16 * MIB,
    film=30 * 1000 * 1000,
    heads=3,
    random_reads=8,
    transcripts=60,
    meetings=30,
    crowd=20,
    crowd_file=4 * MIB,
    timeout=60.0,
)
