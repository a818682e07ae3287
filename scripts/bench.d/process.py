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
    """A piece of work that could not be measured; the text says why."""


def run(command, within: float, **options) -> str:
    """Runs a command and returns what it printed."""
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
    """Kills a process with all its children, and does not wait for one that the kernel holds."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        pass


def start(command, log: Path, **options) -> subprocess.Popen:
    """Starts a daemon that gets SIGTERM when the benchmark dies, however that happens."""

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
    """Asks a daemon to end, and ends it."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=within)
        except subprocess.TimeoutExpired:
            pass
    kill(child)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and the children it has waited for, to a hundredth of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS


def peak_bytes(pid: int) -> int:
    """The most memory that was resident at once (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise Failed("the daemon has ended")


def read_calls(pid: int) -> int:
    """Read system calls so far: each request of the kernel costs a daemon one."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("syscr:"):
            return int(line.split()[1])
    return 0


def wait_until(holds, within: float, what: str) -> None:
    """Polls until something holds."""
    ends = time.monotonic() + within
    while not holds():
        if time.monotonic() > ends:
            raise Failed(f"{what}: not within {within:.0f} s")
        time.sleep(0.005)
