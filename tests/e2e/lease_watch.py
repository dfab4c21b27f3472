"""Who held the controller's Lease, and since when, by a watch."""

import time
from typing import Self

from control_plane import ControlPlane
from kube_api import Object
from kube_watch import KubeWatch

POLL_SECONDS = 0.02


class LeaseWatch:
    """seen: (seconds of the monotonic clock, holder), at each change of the holder, from when the watch began.

    As a context manager it ends the watch.
    """

    def __init__(self, plane: ControlPlane, namespace: str, name: str = "leadtime-controller") -> None:
        self.seen: list[tuple[float, str]] = []
        path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases?fieldSelector=metadata.name%3D{name}"
        self._watch = KubeWatch(plane.admin, path, self._changed)
        assert self._watch.synced.wait(30.0), f"{path}: no list within 30 s"

    def wait_other(self, holder: str, *, seconds: float = 30.0) -> tuple[float, str]:
        """Until it was somebody else's than this last holder's: since when, and whose."""
        deadline = time.monotonic() + seconds
        while True:
            others = [entry for entry in self.seen if entry[1] not in ("", holder)]
            if others and others[-1] == self.seen[-1]:
                return others[-1]
            assert time.monotonic() < deadline, f"no holder but {holder!r} within {seconds:g} s: {self.seen}"
            time.sleep(POLL_SECONDS)

    def _changed(self, change: str, lease: Object) -> None:
        holder = "" if change == "DELETED" else lease["spec"].get("holderIdentity") or ""
        if not self.seen or self.seen[-1][1] != holder:
            self.seen.append((time.monotonic(), holder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.close()
