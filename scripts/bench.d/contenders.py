"""The compared programs ("contenders"), each with its best settings."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import process
from media import address
from origin import BUCKET, Origin
from process import Failed
from tools import Tools

SOURCE = "bench"

# Words in log lines that report problems.
PROBLEM_WORDS = ("WARN", "ERROR", "warn", "error")


@dataclass(frozen=True)
class Contender:
    """A program with settings, which mounts the media."""

    name: str
    label: str
    has_disk_cache: bool

    @property
    def is_meetfs(self) -> bool:
        return self.name.startswith("meetfs")


MEETFS = Contender("meetfs", "meetfs", False)
MEETFS_DISK = Contender("meetfs-disk", "meetfs, disk cache", True)
RCLONE = Contender("rclone", "rclone mount", False)
RCLONE_FULL = Contender("rclone-full", "rclone mount, full cache", True)
MOUNT_S3 = Contender("mount-s3", "mount-s3", False)
MOUNT_S3_CACHE = Contender("mount-s3-cache", "mount-s3, cache", True)

# The upper bounds, which are not mounts: a plain download over one or 64 connections, and the local disk.
CURL = "curl"
PARALLEL_CURL = "curl, 64 connections"
LOCAL = "local disk"
BOUNDS = (CURL, PARALLEL_CURL, LOCAL)

ALL = [MEETFS, MEETFS_DISK, RCLONE, RCLONE_FULL, MOUNT_S3, MOUNT_S3_CACHE]

# Parallel chunks, as the manual of rclone recommends for high latency ("VFS Chunked Reading"): eight
# connections for each file. Listings are cached as long as meetfs caches them.
RCLONE_FLAGS = [
    "--read-only",
    "--vfs-read-chunk-streams=8",
    "--vfs-read-chunk-size=4M",
    "--vfs-fast-fingerprint",
    "--dir-cache-time=1h",
    "--attr-timeout=1h",
    "--checkers=64",
    "--log-level=ERROR",
]

MOUNT_S3_FLAGS = [
    "--read-only",
    "--foreground",
    "--no-sign-request",
    "--force-path-style",
    "--region=us-east-1",
    "--metadata-ttl=indefinite",
    "--maximum-throughput-gbps=10",
]


def installed(tools: Tools) -> list[Contender]:
    """Returns the contenders whose program is installed."""

    def is_installed(contender: Contender) -> bool:
        if contender in (RCLONE, RCLONE_FULL):
            return tools.rclone is not None
        return contender not in (MOUNT_S3, MOUNT_S3_CACHE) or tools.mount_s3 is not None

    return [contender for contender in ALL if is_installed(contender)]


class Mount:
    """A mount of one set of files by one contender, with an empty cache, until the end of `with`."""

    def __init__(self, contender: Contender, tools: Tools, origin: Origin, host: str, directory: Path, memory: str | None = None, setting: str = ""):
        self.contender = contender
        self._directory = directory
        self._cache = directory / "cache"
        self._mountpoint = directory / "mount"
        self._log = directory / "daemon.log"
        self._command = self._build_command(tools, origin, host, memory, setting)
        self._child: subprocess.Popen | None = None

    def _build_command(self, tools: Tools, origin: Origin, host: str, memory: str | None, setting: str) -> list:
        contender, mountpoint = self.contender, self._mountpoint
        if contender.is_meetfs:
            configuration = self._directory / "config.toml"
            disk = "10GiB" if contender.has_disk_cache else "off"
            self._configuration = _configuration(origin, host, memory, disk, self._cache, setting)
            return [tools.meetfs, "mount", "--foreground", "--log-level=warn", "--config", configuration, mountpoint]
        if contender in (RCLONE, RCLONE_FULL):
            cache = ["--vfs-cache-mode", "full" if contender.has_disk_cache else "off", "--cache-dir", self._cache]
            source = ["--config", "/dev/null", "--http-url", f"{origin.media}/"]
            return [tools.rclone, "mount", f":http:{host}", mountpoint, *source, *cache, *RCLONE_FLAGS]
        cache = ["--cache", self._cache] if contender.has_disk_cache else []
        endpoint = ["--endpoint-url", origin.media, "--prefix", f"{host}/"]
        return [tools.mount_s3, BUCKET, mountpoint, *endpoint, *cache, *MOUNT_S3_FLAGS]

    @property
    def root(self) -> Path:
        """Returns the mounted directory of the set."""
        return self._mountpoint / SOURCE if self.contender.is_meetfs else self._mountpoint

    @property
    def pid(self) -> int:
        return self._child.pid

    def __enter__(self) -> "Mount":
        shutil.rmtree(self._directory, ignore_errors=True)
        for directory in (self._mountpoint, self._cache):
            directory.mkdir(parents=True)
        if self.contender.is_meetfs:
            path = self._directory / "config.toml"
            path.touch(mode=0o600)
            path.write_text(self._configuration)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MEETFS_", "RCLONE_"))}
        # Each run has its own state directory, so it cannot use what an earlier run stored.
        environment |= {name: str(self._directory / "home") for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")}
        self._child = process.start(self._command, self._log, env=environment)
        try:
            process.wait_until(self._is_mounted, 120, f"{self.contender.label} did not mount")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, _kind=None, error=None, _trace=None) -> None:
        force_unmount(self._mountpoint)
        process.stop(self._child)
        force_unmount(self._mountpoint)
        problems = [line for line in self.log_lines() if isinstance(error, Failed) and any(word in line for word in PROBLEM_WORDS)]
        shutil.rmtree(self._directory, ignore_errors=True)
        if problems:
            raise Failed(f"{error}; the log of {self.contender.label} contains: {problems[0]}") from None

    def _is_mounted(self) -> bool:
        if self._child.poll() is not None:
            lines = self.log_lines()
            raise Failed(f"{self.contender.label} ended: {lines[-1] if lines else self._child.returncode}")
        return is_mounted(self._mountpoint)

    def log_lines(self) -> list[str]:
        """Returns the lines of the daemon's log."""
        return self._log.read_text(errors="replace").strip().splitlines()


def _configuration(origin: Origin, host: str, memory: str | None, disk: str, cache: Path, setting: str) -> str:
    keys = {
        "provider": "zoom",
        **{key: origin.urls[key] for key in ("account_id", "client_id", "client_secret", "api_url", "oauth_url")},
        "users": [address(host)],
    }
    source = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
    memory_line = f'memory = "{memory}"\n' if memory else ""
    cache_keys = f'{memory_line}disk = "{disk}"\ndir = "{cache}"'
    return f'timezone = "UTC"\n{setting}\n[cache]\n{cache_keys}\n[source.{SOURCE}]\n{source}\n'


def is_mounted(mountpoint: Path) -> bool:
    """Returns whether a file system is mounted there. Reads the mount table, because a call on the mountpoint can hang."""
    # Names can have any encoding. The mount table contains four characters as octal codes.
    escaped_path = os.fsencode(mountpoint)
    for character in b"\\ \t\n":
        escaped_path = escaped_path.replace(bytes([character]), b"\\%03o" % character)
    return any(line.split(b" ")[4] == escaped_path for line in Path("/proc/self/mountinfo").read_bytes().splitlines())


def force_unmount(mountpoint: Path) -> None:
    """Unmounts at once, even if the mount is in use."""
    for command in (["umount", "--lazy"], ["fusermount3", "-u", "-z"]):
        if is_mounted(mountpoint):
            subprocess.run([*command, mountpoint], capture_output=True, timeout=20, check=False)
