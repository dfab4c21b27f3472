"""What a program costs: CPU time and memory of it and its children, from /proc (Linux); and pausing it."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Group:
    """A process group: a program with the workers that it starts. leader: its process id."""

    leader: int

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        return sum(float(stat[11]) + float(stat[12]) for _, stat in self._members()) / _TICKS_PER_SECOND

    def resident_mb(self) -> float:
        """Memory now resident, MB; pages that processes share are counted in each."""
        return sum(_status_kb(pid, "VmRSS") for pid, _ in self._members()) * 1024 / 1e6

    def peak_resident_mb(self) -> float:
        """The most that was ever resident, MB, of each process by itself."""
        return sum(_status_kb(pid, "VmHWM") for pid, _ in self._members()) * 1024 / 1e6

    def processes(self) -> int:
        return len(self._members())

    def pause(self) -> None:
        os.killpg(self.leader, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self.leader, signal.SIGCONT)

    def _members(self) -> list[tuple[int, list[str]]]:
        """(process id, fields of /proc/PID/stat from the third on) of each."""
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdecimal():
                continue
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            if int(fields[2]) == self.leader:
                found.append((int(folder.name), fields))
        return found


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {"cpu": models[0] if models else os.uname().machine, "cores": os.cpu_count(), "kernel": os.uname().release}


def _status_kb(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)
