"""Names as Kubernetes spells them, and lists whose entries have names of their own."""

from typing import Annotated, Any, Protocol, TypeVar

from pydantic import Field

from policies.errors import BadInput

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_LABEL_KEY = 317
"""Characters: a prefix of 253, a slash and a name of 63."""

DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
"""RFC 1123 label: what may be part of the names of objects that are made for it."""
DnsSubdomain = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
"""RFC 1123 subdomain: the name of most objects."""
Kind = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
LabelKey = Annotated[str, Field(min_length=1, max_length=_LABEL_KEY)]
LabelValue = Annotated[str, Field(max_length=63)]
Labels = Annotated[dict[str, LabelValue], Field(max_length=20)]

LIST_MAP_BY_NAME: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
"""In the schema of a list: the API server refuses two entries of one name, and server-side apply merges by name."""


class Named(Protocol):
    @property
    def name(self) -> str: ...


Entry = TypeVar("Entry", bound=Named)


def unique_names(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The same for who reads the object without an API server. Raises BadInput."""
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"name {name!r} was there {names.count(name)} times, must be there once; rename one of them")
    return entries
