"""The two measured processes: the demo server, and a mount of its archives."""

import json
import os
import subprocess
import time
from pathlib import Path

from process import Failed, run, wait_until

# Timeout of one step in seconds.
STEP_TIMEOUT = 600.0


class Cloud:
    """The demo server in its own process. It ends when its standard input is closed."""

    def __init__(self, program: Path, *arguments: object):
        words = [str(word) for word in (program, *arguments)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.access = self._answer()

    def count(self) -> dict:
        """Returns the numbers of requests since the last `clear`."""
        return self._ask("count")

    def clear(self) -> None:
        self._ask("clear")

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)

    def _ask(self, word: str) -> dict:
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise Failed("the demo server has ended")
        return json.loads(line)


class Mount:
    """A configuration with its cache directory and mountpoint. It can be mounted repeatedly."""

    def __init__(self, program: Path, directory: Path, source: str):
        self.program = program
        self.directory = directory
        self.point = directory / "meetings"
        self.point.mkdir(parents=True)
        self.config = directory / "config.toml"
        self.config.write_text(f'timezone = "UTC"\n[cache]\ndir = "{directory}/cache"\n{source}')
        self.config.chmod(0o600)
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(directory / "run"), "XDG_STATE_HOME": str(directory / "state")}

    def mount(self) -> float:
        """Mounts, and returns the seconds until the command has ended and the tree can be listed."""
        start = time.monotonic()
        self._meetfs("mount", "--config", self.config, "--log-file", self.directory / "log", self.point)
        return time.monotonic() - start

    def unmount(self) -> None:
        daemon = self.daemon()
        self._meetfs("unmount", self.point)
        # The daemon writes the catalog before it ends.
        wait_until(lambda: not Path(f"/proc/{daemon}").exists(), 30, "the daemon ends")

    def force_unmount(self) -> None:
        """Unmounts at once, even after a failure."""
        subprocess.run(["umount", "-l", self.point], stderr=subprocess.DEVNULL, check=False)

    def refresh(self) -> None:
        """Refreshes all sources. The tree is up to date when this returns."""
        self._meetfs("refresh", self.point)

    def daemon(self) -> int:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"--report-readiness" in words and os.fsencode(self.point) in words:
                return int(entry.name)
        raise Failed("the daemon has ended")

    def source(self) -> dict:
        """Returns the only source in the output of `meetfs status`."""
        return json.loads(self._meetfs("status", "--json", self.point))[0]["sources"][0]

    def count_names(self, name: str) -> int:
        return int(run(["sh", "-c", f"find '{self.point}' -name '{name}' | wc -l"], STEP_TIMEOUT))

    def list_all(self) -> tuple[float, int]:
        """Runs `ls -lR`, and returns its seconds and the number of its lines."""
        start = time.monotonic()
        lines = run(["sh", "-c", f"ls -lR '{self.point}' | wc -l"], STEP_TIMEOUT)
        return time.monotonic() - start, int(lines)

    def _meetfs(self, *words: object) -> str:
        return run([self.program, *words], STEP_TIMEOUT, env=self.environment)


def forget_peak(pid: int) -> None:
    """Resets the peak resident memory (`clear_refs` in proc(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise Failed("the daemon has ended")
