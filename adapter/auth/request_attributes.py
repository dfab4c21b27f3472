"""What a request asks for, in the words of authorization.

Source: apiserver pkg/endpoints/request/requestinfo.go (NewRequestInfo).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

_VERBS: Final = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_VERBS_WITHOUT_NAME: Final = {"get": "list", "delete": "deletecollection"}
_VERBS_IN_PATH: Final = ("proxy", "watch")
_NAMESPACE_SUBRESOURCES: Final = ("status", "finalize")


class Attributes(NamedTuple):
    """path: of a request that is for no resource, "" for one that is. Missing parts are ""."""

    verb: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    path: str = ""

    @property
    def size(self) -> int:
        """Characters that the client chose."""
        return sum(map(len, self))


def attributes_of(method: str, segments: Sequence[str]) -> Attributes:
    """The attributes of a request. segments: its path's parts, each decoded.

    A slash within a segment (`%2F`) stays within it, as in our routes: what is authorized is what is answered.

    A custom metric of pods is verb get, resource `pods`, subresource the metric, name `*`; of a namespace verb get,
    resource `metrics`, name the metric; an external metric is verb list, resource the metric.
    """
    if len(segments) < 4 or segments[0] != "apis":
        return Attributes(method.lower(), path="/" + "/".join(segments))
    group, version, *parts = segments[1:]
    verb = _VERBS.get(method, "")
    if parts[0] in _VERBS_IN_PATH and len(parts) > 1:
        verb, *parts = parts
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    resource = parts[0]
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 and verb != "proxy" else ""
    if not name:
        verb = _VERBS_WITHOUT_NAME.get(verb, verb)
    return Attributes(verb, group, version, namespace, resource, subresource, name)
