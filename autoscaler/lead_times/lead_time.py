"""One pod's lead time: the steps it took, and the path by which it came."""

from dataclasses import dataclass
from typing import Literal

from policies.snapshot import NS_PER_SECOND

NodeKind = Literal["WarmNode", "NewNode"]
"""Placed on a node that was there, or waited for one that came after it."""

ImageKind = Literal["Cached", "Pulled", "Unknown"]
"""What the kubelet's Pulled events say; Unknown where none was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """What the lead time mostly depends on. spot: the node can be taken away.

    returning: a StatefulSet's ordinal that has served before: its volume has what was downloaded then.
    """

    node: NodeKind
    image: ImageKind = "Unknown"
    spot: bool = False
    returning: bool = False

    def __str__(self) -> str:
        node = "new node" if self.node == "NewNode" else "warm node"
        words = [f"{node} (spot)" if self.spot else node]
        if self.image != "Unknown":
            words.append(f"image {self.image.lower()}")
        if self.returning:
            words.append("volume known")
        return ", ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Seconds each, >= 0, one after the other.

    ask: until the pod existed, where it is known when it was asked for. node: until it had a node. pull: images.
    start: volumes, init containers and the runtime. load: from the server's start to Ready.
    """

    ask_seconds: float = 0.0
    node_seconds: float
    pull_seconds: float
    start_seconds: float
    load_seconds: float

    @property
    def total_seconds(self) -> float:
        return self.ask_seconds + self.node_seconds + self.pull_seconds + self.start_seconds + self.load_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTime:
    """Evidence from one pod. zone, revision: "" where unknown. ordinal: of a StatefulSet's pod, or a group's index."""

    pod_uid: str
    pod: str
    created_ns: int
    steps: Steps
    path: Path
    zone: str = ""
    ordinal: int | None = None
    revision: str = ""

    @property
    def ready_ns(self) -> int:
        after_creation = self.steps.total_seconds - self.steps.ask_seconds
        return self.created_ns + round(after_creation * NS_PER_SECOND)
