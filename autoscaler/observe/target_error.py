"""Why a workload's scale cannot be had."""

from typing import Literal

from adapter.sources.kubernetes.api import ApiError

Reason = Literal["NotFound", "NoScaleSubresource", "InvalidSelector", "Forbidden", "Unreachable"]


class TargetError(Exception):
    """retry_helps: by itself; otherwise somebody must change something first, as the message says."""

    def __init__(self, reason: Reason, message: str, *, retry_helps: bool = False) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message
        self.retry_helps = retry_helps


def target_error(error: ApiError, what: str, *, group: str, resource: str, verb: str = "get") -> TargetError:
    """what: was asked for, for the message. group, resource: by which RBAC would allow it."""
    if error.status == 403:
        rule = f'{{apiGroups: ["{group}"], resources: ["{resource}"], verbs: ["{verb}"]}}'
        return TargetError("Forbidden", f"{what}: {error.message}; add to the controller's ClusterRole: {rule}")
    if error.status == 404:
        return TargetError("NotFound", f"{what} does not exist; create it, or correct spec.scaleTargetRef")
    is_passing = error.status in (0, 429) or error.status >= 500
    return TargetError("Unreachable", f"{what}: {error}", retry_helps=is_passing)
