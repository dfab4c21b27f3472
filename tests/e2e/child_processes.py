"""Processes that end when their owner does: at stop(), at a failed start, and when the owner itself is killed."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.05
LOG_LINES = 20
_FIRST_PORT, _PORTS = 20_000, 12_000


class StartFailed(Exception):
    """A process ended or did not answer in time: names it and quotes the end of its log."""


@dataclass(frozen=True, slots=True)
class Process:
    """One running program. log: its standard output and error."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid


class Processes:
    """Starts programs, each as a process group of its own (so a Ctrl-C in the terminal is not theirs), and ends them.

    folder: where logs go (NAME.log) and the programs' working and home folder, so that no user's file is read.
    A guardian process (guardian.py) ends them if this process goes without stop(). It sees that as the end of a pipe,
    so children that this process forks without exec (multiprocessing's "fork") put it off until they are gone too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Process] = []
        self._guardian = subprocess.Popen(  # noqa: S603 (our own interpreter and file)
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("guardian.py"))],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def running(self) -> tuple[Process, ...]:
        """Those started and not stopped, oldest first."""
        return tuple(self._running)

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Process:
        """Start a program; its log begins anew. Of this process's environment it gets PATH only; environment adds."""
        variables = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self._folder), **(environment or {})}
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(  # noqa: S603 (the programs are those of binaries.py)
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env=variables,
                start_new_session=True,
            )
        process = Process(name, popen, log)
        self._running.append(process)
        self._tell_guardian("+", process)
        return process

    def wait_until(self, process: Process, ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Poll until ready() is true. Raises StartFailed if the process ends first, or does not get there in time."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if process.popen.poll() is not None:
                raise StartFailed(f"{process.name}: exited with {process.popen.returncode}{log_tail(process.log)}")
            if time.monotonic() > deadline:
                raise StartFailed(f"{process.name}: not ready after {timeout_seconds:g} s{log_tail(process.log)}")
            time.sleep(POLL_SECONDS)

    def kill(self, process: Process) -> None:
        """End one, with its process group, and wait for it. Nothing is drained: its data are thrown away."""
        if process.popen.poll() is None:  # else its number may be somebody else's by now
            os.killpg(process.pid, signal.SIGKILL)
            process.popen.wait()
        if process in self._running:
            self._running.remove(process)
            self._tell_guardian("-", process)

    def stop(self) -> None:
        """End all of them, youngest first. May be called again."""
        for process in reversed(self.running):
            self.kill(process)
        if self._guardian.stdin:
            self._guardian.stdin.close()
        self._guardian.wait()

    def _tell_guardian(self, change: str, process: Process) -> None:
        assert self._guardian.stdin
        with contextlib.suppress(BrokenPipeError):  # only if someone killed it: stop() still does its part
            self._guardian.stdin.write(f"{change}{process.pid}\n".encode())
            self._guardian.stdin.flush()


def log_tail(log: Path) -> str:
    """The last lines of a log, ready to append to a message: of the errors (klog's E and F), if there are any."""
    lines = log.read_text(errors="replace").splitlines()
    telling = [line for line in lines if line.startswith(("E", "F")) or "rror:" in line or '"level":"fatal"' in line]
    chosen = (telling or lines)[-LOG_LINES:]
    return f"; {log}:\n" + "\n".join(chosen) if chosen else f"; {log} is empty"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on.

    Drawn below 32768, where Linux begins to hand out ports for outgoing connections (ip_local_port_range), and of this
    test worker's own part, so that between here and the program's bind only a stranger's server could take one.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    part = _PORTS // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first = _FIRST_PORT + worker * part
    found: set[int] = set()
    while len(found) < count:
        port = random.randrange(first, first + part)  # noqa: S311 (not a secret)
        if is_free(port):
            found.add(port)
    return list(found)


def is_free(port: int) -> bool:
    """Whether nobody listens there, on any address."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("0.0.0.0", port))  # noqa: S104 - bound, never listened on
        return True
    return False


def listens(port: int) -> bool:
    """Whether something on 127.0.0.1 accepts connections at this port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
