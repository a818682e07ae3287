"""Runs commands with a timeout, and daemons that end with the benchmark."""

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
    """The error for a work that cannot be measured. Its text is the reason."""


def run(command, timeout: float, stdin: str = "", **options) -> str:
    """Runs a command with the text `stdin` as its input, and returns its output. `timeout` is in seconds."""
    words = [str(word) for word in command]
    name = Path(words[0]).name + (f" {words[1]}" if len(words) > 1 else "")
    child = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        **options,
    )
    try:
        out, err = child.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        kill(child)
        raise Failed(f"{name} did not end within {timeout:.0f} s") from None
    except BaseException:
        kill(child)
        raise
    if child.returncode != 0:
        messages = (err.strip() or out.strip()).splitlines()
        raise Failed(f"{name}: {messages[-1] if messages else child.returncode}")
    return out


def kill(child: subprocess.Popen) -> None:
    """Kills a process and its children. Does not wait for a process in uninterruptible sleep."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        pass


def start(command, log: Path, **options) -> subprocess.Popen:
    """Starts a daemon. It receives SIGTERM when the benchmark ends, even if the benchmark is killed."""

    def end_with_parent() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    with log.open("ab") as err:
        return subprocess.Popen(
            [str(word) for word in command],
            **{"stdin": subprocess.DEVNULL, "stdout": err, **options},
            stderr=err,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )


def stop(child: subprocess.Popen, timeout: float = 10) -> None:
    """Terminates a daemon, and kills it if it does not end in time."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            pass
    kill(child)


def cpu_seconds(pid: int) -> float:
    """Returns the user and system time of a process and its reaped children, in steps of 0.01 s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS


def peak_bytes(pid: int) -> int:
    """Returns the peak resident memory (VmHWM) of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise Failed("the daemon has ended")


def read_calls(pid: int) -> int:
    """Returns the number of read system calls so far: one per request of the kernel."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("syscr:"):
            return int(line.split()[1])
    return 0


def wait_until(condition, timeout: float, description: str) -> None:
    """Polls until a condition is true. `timeout` is in seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{description}: not within {timeout:.0f} s")
        time.sleep(0.005)
