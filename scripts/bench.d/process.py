"""Commands that end in time, and daemons that end with the benchmark."""

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A work could not be measured; the text is the reason."""


def run(command, within: float, **options) -> str:
    """Runs a command and returns its output."""
    words = [str(word) for word in command]
    said_as = Path(words[0]).name + (f" {words[1]}" if len(words) > 1 else "")
    child = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        **options,
    )
    try:
        out, err = child.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        kill(child)
        raise Failed(f"not done within {within:.0f} s: {said_as}") from None
    except BaseException:
        kill(child)
        raise
    if child.returncode != 0:
        told = (err.strip() or out.strip()).splitlines()
        raise Failed(f"{said_as}: {told[-1] if told else child.returncode}")
    return out


def kill(child: subprocess.Popen) -> None:
    """Kills a process with its children without waiting for one in uninterruptible sleep."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        pass


def start(command, log: Path, **options) -> subprocess.Popen:
    """Starts a daemon that receives SIGTERM when the benchmark ends for any reason."""

    def tied() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    with log.open("ab") as err:
        return subprocess.Popen(
            [str(word) for word in command],
            **{"stdin": subprocess.DEVNULL, "stdout": err, **options},
            stderr=err,
            start_new_session=True,
            preexec_fn=tied,
        )


def stop(child: subprocess.Popen, within: float = 10) -> None:
    """Terminates a daemon, then kills it."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=within)
        except subprocess.TimeoutExpired:
            pass
    kill(child)


def cpu_seconds(pid: int) -> float:
    """Returns user and system time of a process and its waited-for children, in steps of 0.01 s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS


def peak_bytes(pid: int) -> int:
    """Returns the peak resident memory (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise Failed("the daemon has ended")


def read_calls(pid: int) -> int:
    """Returns the read system calls so far: one per request of the kernel."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("syscr:"):
            return int(line.split()[1])
    return 0


def wait_until(holds, within: float, what: str) -> None:
    """Polls until a condition holds."""
    ends = time.monotonic() + within
    while not holds():
        if time.monotonic() > ends:
            raise Failed(f"{what}: not within {within:.0f} s")
        time.sleep(0.005)
