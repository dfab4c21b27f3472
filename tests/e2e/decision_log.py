"""What kube-controller-manager's log says of the HPA controller's decisions (flag --vmodule=horizontal=4).

Source: pkg/controller/podautoscaler/horizontal.go (reconcileAutoscaler); the line's head: k8s.io/klog/v2 klog.go
(formatHeader), which writes local time without a year.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from audit_log import unix_ns

_HEAD = r"^I(?P<at>\d{4} \d\d:\d\d:\d\d\.\d{6}) .*"
_TEXT = r'"(?:[^"\\]|\\.)*"'
_PROPOSED = re.compile(
    _HEAD + r'"Proposing desired replicas(?: from zero)?" desiredReplicas=(?P<replicas>-?\d+) '
    rf'metric=(?P<metric>{_TEXT}) .*scaleTarget="(?P<target>[^"]+)"'
)
_RESCALED = re.compile(_HEAD + r'"Successfully rescaled" HPA="(?P<hpa>[^"]+)" .*desiredReplicas=(?P<replicas>-?\d+)')
_DELETED = re.compile(_HEAD + r'"Horizontal Pod Autoscaler has been deleted" HPA="(?P<hpa>[^"]+)"')


@dataclass(frozen=True, slots=True)
class Logged:
    """One line. at_ns: since the Unix epoch, to the microsecond.

    of: the target as Kind/namespace/name of a proposal, else the HPA as namespace/name. replicas: what the metrics
    propose, before windows and limits; or what was written. metric: of a proposal, as in the condition ScalingActive.
    """

    at_ns: int
    of: str
    replicas: int = 0
    metric: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLog:
    """Its lines by kind, oldest first. deletions: of HPAs, when the controller finds them gone at their next turn."""

    proposals: tuple[Logged, ...] = ()
    rescales: tuple[Logged, ...] = ()
    deletions: tuple[Logged, ...] = ()


def read_decision_log(log: Path) -> DecisionLog:
    """So far. log: kube-controller-manager's."""
    proposals: list[Logged] = []
    rescales: list[Logged] = []
    deletions: list[Logged] = []
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if found := _PROPOSED.match(line):
                metric = json.loads(found["metric"])
                proposals.append(Logged(_unix_ns(found["at"]), found["target"], int(found["replicas"]), metric))
            elif found := _RESCALED.match(line):
                rescales.append(Logged(_unix_ns(found["at"]), found["hpa"], int(found["replicas"])))
            elif found := _DELETED.match(line):
                deletions.append(Logged(_unix_ns(found["at"]), found["hpa"]))
    return DecisionLog(proposals=tuple(proposals), rescales=tuple(rescales), deletions=tuple(deletions))


def _unix_ns(head: str) -> int:
    """Of this year, or the last if that would be in the future."""
    now = datetime.now().astimezone()
    at = datetime.strptime(f"{now:%Y}{head}{now:%z}", "%Y%m%d %H:%M:%S.%f%z")
    if at > now + timedelta(days=1):
        at = at.replace(year=now.year - 1)
    return unix_ns(at.isoformat())
