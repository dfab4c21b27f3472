"""A model load: files are downloaded, read onto the GPU, and the server warms up; and what a cut load leaves behind."""

from dataclasses import dataclass, replace
from enum import StrEnum


class KeptBy(StrEnum):
    """What the model's files outlive: where they are written.

    CONTAINER: the container's writable layer, gone with every restart.
    POD: an emptyDir, which survives a container's crash and goes with the pod (kubernetes.io/docs/concepts/storage/
        volumes, "emptyDir").
    NODE: a hostPath or a local SSD of the node, for every pod that comes there later.
    VOLUME: a PersistentVolumeClaim of the StatefulSet's ordinal.
    """

    CONTAINER = "container"
    POD = "pod"
    NODE = "node"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoad:
    """What one container has still to do before its server answers, in seconds.

    download_seconds: of all files; left_seconds: what of that is not there yet.
    read_seconds: from the disk onto the GPU; seen_seconds: what of that is in the node's page cache already, where it
    is read reread_speed times as fast. warm_up_seconds: compilation and CUDA graphs, anew in every container.
    """

    download_seconds: float
    left_seconds: float
    read_seconds: float
    warm_up_seconds: float
    kept_by: KeptBy
    seen_seconds: float = 0.0
    reread_speed: float = 1.0

    @property
    def seconds(self) -> float:
        """From the container's start until its server answers."""
        return self.left_seconds + self._reread_seconds + (self.read_seconds - self.seen_seconds) + self.warm_up_seconds

    def after(self, ran_seconds: float) -> "ModelLoad":
        """What the next container has to do when this one ended after so long. A download goes on where it stopped."""
        if self.kept_by is KeptBy.CONTAINER:
            return replace(self, left_seconds=self.download_seconds, seen_seconds=0.0)
        left = max(0.0, self.left_seconds - ran_seconds)
        read = max(0.0, ran_seconds - self.left_seconds - self._reread_seconds)
        return replace(self, left_seconds=left, seen_seconds=min(self.read_seconds, self.seen_seconds + read))

    @property
    def _reread_seconds(self) -> float:
        return self.seen_seconds / self.reread_speed
