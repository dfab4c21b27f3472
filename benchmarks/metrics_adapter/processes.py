"""What programs cost: CPU time and memory of process groups, from /proc (Linux); and pausing them."""

import os
import resource
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_IDLE_FIELDS = (3, 4)  # of the first line of /proc/stat: idle, iowait
_STOLEN_FIELD = 7


@dataclass(frozen=True, slots=True)
class Group:
    """A process group: a program with the workers that it starts. leader: its process id."""

    leader: int

    def resident_mb(self) -> float:
        """Memory now resident, MB; pages that processes share are counted in each."""
        return self._sum_of("VmRSS")

    def peak_resident_mb(self) -> float:
        """The most that was ever resident, MB, of each process by itself."""
        return self._sum_of("VmHWM")

    def waited_seconds(self) -> float:
        """How long its leader's main thread has been ready to run without a core (Linux, sched-stats.rst)."""
        try:
            return int(Path(f"/proc/{self.leader}/schedstat").read_text().split()[1]) / 1e9
        except (OSError, IndexError):
            return 0.0

    def pause(self) -> None:
        os.killpg(self.leader, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self.leader, signal.SIGCONT)

    def _sum_of(self, field: str) -> float:
        members = [pid for pid, leader, _ in _processes() if leader == self.leader]
        return sum(_status_kb(pid, field) for pid in members) * 1024 / 1e6


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far at one instant.

    at: monotonic seconds. by_leader: of each process group. own: this program's and its ended children's.
    busy: of everything on the machine, with what the hypervisor gave to others.
    """

    at: float
    by_leader: Mapping[int, float]
    own: float
    busy: float

    @classmethod
    def now(cls) -> "Usage":
        by_leader: dict[int, float] = {}
        for _, leader, seconds in _processes():
            by_leader[leader] = by_leader.get(leader, 0.0) + seconds
        own = sum(
            usage.ru_utime + usage.ru_stime
            for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )
        return cls(time.monotonic(), by_leader, own, _busy_seconds())

    def of(self, groups: Collection[Group]) -> float:
        return sum(self.by_leader.get(group.leader, 0.0) for group in groups)

    def others_since(self, early: "Usage", ours: Collection[Group]) -> float:
        """Cores that programs which are not ours used on average since `early`."""
        used = self.busy - early.busy - (self.of(ours) - early.of(ours)) - (self.own - early.own)
        return max(0.0, used) / (self.at - early.at)


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {"cpu": models[0] if models else os.uname().machine, "cores": os.cpu_count(), "kernel": os.uname().release}


def _processes() -> Iterator[tuple[int, int, float]]:
    """(process id, its group's leader, CPU seconds) of every process."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        yield int(folder.name), int(fields[2]), (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _busy_seconds() -> float:
    ticks = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return sum(one for index, one in enumerate(ticks[: _STOLEN_FIELD + 1]) if index not in _IDLE_FIELDS) / (
        _TICKS_PER_SECOND
    )


def _status_kb(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)
