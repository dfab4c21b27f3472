"""What a client accepts, and whether it has it already.

Source: apiserver pkg/endpoints/handlers/negotiation/negotiate.go, munnerz/goautoneg, and RFC 9110, 12.5.1 and
13.1.2. Unlike goautoneg, q=0 excludes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One clause of an Accept header. q: 0..1, how much it is wanted."""

    media_type: str
    q: float = 1.0
    parameters: Mapping[str, str] = field(default_factory=dict)

    def matches(self, media_type: str) -> bool:
        """Whether `application/json`, say, is within `application/json`, `application/*` or `*/*`."""
        if self.media_type.endswith("/*"):
            return self.media_type == "*/*" or media_type.startswith(self.media_type[:-1])
        return self.media_type == media_type


def parse_accept(header: str) -> tuple[MediaRange, ...]:
    """The clauses, the most wanted first and otherwise in their order; without a header, everything.

    What is malformed is left out, as goautoneg does.
    """
    if not header.strip():
        return (MediaRange("*/*"),)
    ranges = [one for clause in header.split(",") if (one := _media_range(clause)) is not None and one.q > 0]
    return tuple(sorted(ranges, key=lambda one: -one.q))


def etag(body: bytes) -> str:
    """A strong ETag, quotes included: SHA-512 in upper-case hex, as apiserver's and kube-openapi's are."""
    return f'"{hashlib.sha512(body).hexdigest().upper()}"'


def is_current(if_none_match: str, tag: str) -> bool:
    """Whether the client holds what the tag names, so that 304 answers it."""
    held = (one.strip().removeprefix("W/") for one in if_none_match.split(","))
    return any(one in (tag, "*") for one in held)


def _media_range(clause: str) -> MediaRange | None:
    media_type, *rest = (part.strip() for part in clause.split(";"))
    media_type = "*/*" if media_type == "*" else media_type.lower()
    if media_type.count("/") != 1:
        return None
    q = 1.0
    parameters: dict[str, str] = {}
    for parameter in rest:
        name, equals, value = (part.strip() for part in parameter.partition("="))
        if not equals:
            continue
        if name == "q":
            try:
                q = min(1.0, max(0.0, float(value)))
            except ValueError:
                return None
        else:
            parameters[name] = value.strip('"')
    return MediaRange(media_type, q, parameters)
