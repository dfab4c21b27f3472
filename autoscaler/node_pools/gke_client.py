"""Calls of the GKE API: five methods, each with a deadline, every trouble under its name.

The synchronous client, in threads, and never the library's own retries: the loop comes again in half a minute.
"""

import threading
from dataclasses import dataclass
from typing import Any

from autoscaler.node_pools.gke_trouble import GkeTrouble, lack_of, trouble_of_call, trouble_of_operation

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


@dataclass(frozen=True, slots=True, kw_only=True)
class GkeSettings:
    """endpoint: HOST:PORT. plaintext: without TLS and credentials, for tests. timeout_seconds: of one call.

    operation_deadline_seconds: an operation that takes longer is no longer waited for; GKE drains a node for up to an
    hour where a PodDisruptionBudget says so.
    """

    endpoint: str = "container.googleapis.com:443"
    plaintext: bool = False
    timeout_seconds: float = 10.0
    operation_deadline_seconds: float = 5_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GkePoolNow:
    """A node pool as the API shows it. zones: it spans so many, and per-zone numbers count in each.

    by_total: its limits are of the whole pool, not of each zone. min_nodes, max_nodes: in whichever unit. busy: it is
    being changed. lack: QuotaExceeded or StockedOut where its conditions say so; told: those conditions.
    """

    autoscaled: bool
    by_total: bool
    min_nodes: int
    max_nodes: int
    zones: int
    busy: bool
    lack: GkeTrouble | None
    raw_autoscaling: Any


class GkeClient:
    """Thread-safe. Connects at its first call. Every method raises GkeTrouble."""

    def __init__(self, settings: GkeSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._connection: Any = None

    def is_autopilot(self, cluster: str) -> bool:
        return bool(self._call("get_cluster", {"name": cluster}, cluster).autopilot.enabled)

    def node_pool(self, name: str) -> GkePoolNow:
        pool = self._call("get_node_pool", {"name": name}, name)
        limits = pool.autoscaling
        by_total = bool(limits.total_max_node_count or limits.total_min_node_count)
        said = [f"{condition.code.name}: {condition.message}" for condition in pool.conditions]
        lack = lack_of(said)
        return GkePoolNow(
            autoscaled=bool(limits.enabled),
            by_total=by_total,
            min_nodes=limits.total_min_node_count if by_total else limits.min_node_count,
            max_nodes=limits.total_max_node_count if by_total else limits.max_node_count,
            zones=max(1, len(pool.locations)),
            busy=pool.status.name in ("PROVISIONING", "RECONCILING", "STOPPING"),
            lack=None if lack is None else trouble_of_operation("", 0, said),
            raw_autoscaling=limits,
        )

    def set_min_nodes(self, name: str, now: GkePoolNow, min_nodes: int) -> str:
        """The operation's id. min_nodes: in the unit of `now`; all other limits stay as they are."""
        limits = type(now.raw_autoscaling)(now.raw_autoscaling)
        if now.by_total:
            limits.total_min_node_count = min_nodes
        else:
            limits.min_node_count = min_nodes
        return str(self._call("set_node_pool_autoscaling", {"name": name, "autoscaling": limits}, name).name)

    def set_size(self, name: str, nodes_per_zone: int) -> str:
        """The operation's id."""
        return str(self._call("set_node_pool_size", {"name": name, "node_count": nodes_per_zone}, name).name)

    def operation_is_done(self, name: str) -> bool:
        """Whether it is over and came out well. name: its whole path."""
        operation = self._call("get_operation", {"name": name}, name)
        if operation.status.name != "DONE":
            return False
        said = [operation.error.message, operation.status_message]
        for condition in (*operation.nodepool_conditions, *operation.cluster_conditions):
            said.append(f"{condition.code.name}: {condition.message}")  # noqa: PERF401 - reads better
        trouble = trouble_of_operation(operation.name, operation.error.code, said)
        if trouble is not None:
            raise trouble
        return True

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.transport.close()
                self._connection = None

    def _call(self, method: str, request: dict[str, Any], where: str) -> Any:
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError

        try:
            return getattr(self._connected(), method)(
                request=request, retry=None, timeout=self._settings.timeout_seconds
            )
        except GoogleAPICallError as error:
            code = "UNKNOWN" if error.grpc_status_code is None else error.grpc_status_code.name
            raise trouble_of_call(code, str(error.message), where) from error
        except GoogleAuthError as error:
            raise GkeTrouble(
                "Refused", f"no access token for the GKE API ({error}); run under Workload Identity"
            ) from error

    def _connected(self) -> Any:
        # Imported where it is used: it is an extra, and takes a second, which every command would wait for.
        try:
            import grpc
            from google.cloud.container_v1 import ClusterManagerClient
            from google.cloud.container_v1.services.cluster_manager.transports import ClusterManagerGrpcTransport
        except ImportError as error:
            raise GkeTrouble(
                "Refused", f"google-cloud-container is not installed ({error}); install leadtime[gke]"
            ) from error
        settings = self._settings
        with self._lock:
            if self._connection is None:
                if settings.plaintext:
                    channel = grpc.insecure_channel(settings.endpoint)
                else:
                    channel = ClusterManagerGrpcTransport.create_channel(settings.endpoint, scopes=_SCOPES)
                self._connection = ClusterManagerClient(transport=ClusterManagerGrpcTransport(channel=channel))
            return self._connection
