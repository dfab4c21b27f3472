"""What a PredictiveAutoscaler says and does over time, with waits that end in a table of what was seen."""

import time
from collections.abc import Callable
from typing import Any

from control_plane import ControlPlane
from controller_in_cluster import API

POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 40.0
_ROWS = 40


class AutoscalerWatch:
    """One object and its workload, asked for again and again. seen: (seconds, replicas, status), changes only."""

    def __init__(
        self, plane: ControlPlane, namespace: str, name: str, *, kind: str = "deployments", target: str = ""
    ) -> None:
        """target: the workload's name, where it is not the object's own."""
        self._api = plane.api
        self.path = f"{API}/namespaces/{namespace}/predictiveautoscalers/{name}"
        self._target = f"/apis/apps/v1/namespaces/{namespace}/{kind}/{target or name}"
        self._started = time.monotonic()
        self.seen: list[tuple[float, int, dict[str, Any]]] = []

    def look(self) -> tuple[int, dict[str, Any]]:
        """The target's spec.replicas, and the status ({} before the first)."""
        replicas: int = self._api.get(self._target)["spec"]["replicas"]
        status: dict[str, Any] = self._api.get(self.path).get("status", {})
        if not self.seen or self.seen[-1][1:] != (replicas, status):
            self.seen.append((time.monotonic() - self._started, replicas, status))
        return replicas, status

    def wait(
        self, until: Callable[[int, dict[str, Any]], object], what: str, *, seconds: float = TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        """Until until(replicas, status) is true. Raises AssertionError with the table."""
        deadline = time.monotonic() + seconds
        while True:
            replicas, status = self.look()
            if until(replicas, status):
                return status
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s\n{self.table()}"
            time.sleep(POLL_SECONDS)

    def wait_replicas(self, replicas: int, *, seconds: float = TIMEOUT_SECONDS) -> None:
        """Until the workload is asked for at least so many. The status that says so is written after that."""
        self.wait(lambda now, _: now >= replicas, f"{replicas} replicas", seconds=seconds)

    def wait_condition(self, kind: str, status: str, reason: str = "", *, seconds: float = TIMEOUT_SECONDS) -> str:
        """Its message."""

        def holds(_: int, seen: dict[str, Any]) -> bool:
            return any(
                one["type"] == kind and one["status"] == status and reason in ("", one["reason"])
                for one in seen.get("conditions", ())
            )

        seen = self.wait(holds, f"{kind}={status}/{reason}", seconds=seconds)
        message: str = next(one["message"] for one in seen["conditions"] if one["type"] == kind)
        return message

    def holds(self, seconds: float) -> None:
        """The target's replicas stay as they are."""
        before, _ = self.look()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            now, _ = self.look()
            assert now == before, f"must stay {before}\n{self.table()}"
            time.sleep(POLL_SECONDS)

    def never_fewer(self, seconds: float) -> None:
        """More replicas may be asked for, fewer may not."""
        most, _ = self.look()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            now, _ = self.look()
            assert now >= most, f"must not fall below {most}\n{self.table()}"
            most = now
            time.sleep(POLL_SECONDS)

    def set(self, **spec: Any) -> None:
        """Change fields of the spec."""
        self._api.merge(self.path, {"spec": spec})

    @property
    def status(self) -> dict[str, Any]:
        """As it is now."""
        found: dict[str, Any] = self._api.get(self.path).get("status", {})
        return found

    @property
    def replica_path(self) -> list[int]:
        path = [self.seen[0][1]] if self.seen else []
        for _, replicas, _ in self.seen:
            if replicas != path[-1]:
                path.append(replicas)
        return path

    def table(self) -> str:
        rows = ["seconds  replicas  ready  message; conditions that changed"]
        before: dict[str, str] = {}
        for at, replicas, status in self.seen[-_ROWS:]:
            now = {one["type"]: f"{one['status']}/{one['reason']}" for one in status.get("conditions", ())}
            changed = [f"{kind}={value}" for kind, value in now.items() if before.get(kind) != value]
            said = "; ".join([status.get("message", ""), *changed])
            rows.append(f"{at:7.1f}  {replicas:8d}  {status.get('readyReplicas', ''):5}  {said}")
            before = now
        return "\n".join(rows)
