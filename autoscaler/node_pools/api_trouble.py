"""What the API server's refusals mean for a pool."""

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act.writer import NotLeader
from autoscaler.node_pools.provider import PoolTold


def told_of(error: ApiError, rights: str) -> PoolTold:
    """rights: what the controller's role must hold, in words."""
    if error.reason == "NotLeader":
        return not_written(error)
    if error.status in (401, 403):
        return PoolTold(state="Refused", message=f"{error}; let the controller's ClusterRole {rights}")
    if 400 <= error.status < 500 and error.status not in (408, 409, 429):
        return PoolTold(state="Refused", message=f"{error}; mend what it names")
    return PoolTold(state="Unreachable", message=f"{error}; the next step tries again")


def not_written(error: NotLeader | ApiError) -> PoolTold:
    return PoolTold(state="Idle", message=f"not written: {error}")
