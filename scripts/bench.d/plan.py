"""The sizes and counts of a run."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Network:
    """A simulated network in front of the web server."""

    # Latency of each response.
    latency_ms: int
    # Rate of each connection.
    bytes_per_second: int
    # Bytes at the start of each response that the rate does not limit.
    burst_bytes: int = 0
    # Whether 1 % of the requests are reset in the middle of the body, and another 1 % stall for 5 s.
    is_lossy: bool = False
    # Rate of all connections together, which get equal shares of it; 0 for no limit.
    line_bytes_per_second: int = 0


LOOPBACK, WAN, SHARED = "loopback", "wan", "shared"

NETWORKS = {
    LOOPBACK: None,
    WAN: Network(50, 12_500_000),
    "far": Network(150, 4_000_000),
    # `limit_rate` of nginx, which many content delivery networks use, does not limit the first second.
    "bursty": Network(50, 4_000_000, burst_bytes=4_000_000),
    "lossy": Network(50, 12_500_000, is_lossy=True),
    SHARED: Network(20, 25_000_000, line_bytes_per_second=25_000_000),
}

HEAD_BYTES = 64 * 1024
RANDOM_BYTES = 256 * 1024
READERS = 4


@dataclass(frozen=True)
class Plan:
    """Sizes of files in bytes, and numbers of files and reads."""

    large: int = 1024 * MIB
    reader_file: int = 256 * MIB
    wan_reader: int = 256 * MIB
    film: int = 300 * 1000 * 1000
    medium_files: int = 60
    medium_file: int = 3 * 1000 * 1000
    heads: int = 8
    random_reads: int = 20
    transcripts: int = 2000
    meetings: int = 500
    # Duration of a call beside two copies, and its rate in bytes per second.
    call_seconds: float = 20.0
    call_rate: int = 4_000_000
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
    medium_files=12,
    heads=3,
    random_reads=8,
    transcripts=60,
    meetings=30,
    call_seconds=4.0,
    crowd=20,
    crowd_file=4 * MIB,
    timeout=60.0,
)
