"""The HPA controller's log: which HPA was synced when, and how old the value was that it acted on.

The controller has no metric for that age. With --vmodule=horizontal=4 it logs each decision with its metric's timestamp
(kubernetes v1.36.3 pkg/controller/podautoscaler/horizontal.go, "Proposing desired replicas").
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

_PROPOSAL = re.compile(
    r'^I(?P<line>\d{4} [\d:.]+) .*"Proposing desired replicas(?: from zero)?" .*'
    r'timestamp="(?P<sample>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) [^"]*" scaleTarget="(?P<target>[^"]+)"'
)


@dataclass(frozen=True, slots=True)
class Sync:
    """One decision. target: as in Deployment/NAMESPACE/NAME. at: local time.

    age_seconds: of the metric's timestamp, which is in whole seconds rounded down, so up to 1 s too much. Of several
    pods the controller keeps the first one's timestamp, of several metrics that of the one that asks for most.
    """

    target: str
    at: datetime
    age_seconds: float


class SyncLog:
    """Reads what has been logged since it was made, or since it was read last."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = log.stat().st_size
        self._rest = ""

    def read(self) -> list[Sync]:
        """The decisions, oldest first."""
        with self._log.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        self._offset += len(new)
        *lines, self._rest = (self._rest + new.decode(errors="replace")).split("\n")
        return [sync for line in lines if (sync := parse(line))]


def parse(line: str) -> Sync | None:
    """A line of klog's, which has no year: the sample's. None if it tells of no decision."""
    found = _PROPOSAL.match(line)
    if not found:
        return None
    sample = datetime.fromisoformat(found["sample"])
    at = datetime.strptime(f"{sample.year}{found['line']}", "%Y%m%d %H:%M:%S.%f")  # noqa: DTZ007 - both are local
    return Sync(found["target"], at, (at - sample).total_seconds())


def longest_gap_seconds(syncs: Sequence[Sync]) -> float:
    """Between one sync and the next. syncs: of one HPA; 0 if there is one only."""
    return max(((later.at - earlier.at).total_seconds() for earlier, later in pairwise(syncs)), default=0.0)
