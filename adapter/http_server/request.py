"""A request as a handler sees it. What costs time is worked out when it is first asked for."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

_CACHED_TARGETS = 4096  # an HPA asks for the same target every 15 s; at 512 bytes each, 10 MB at most
_CACHED_TARGET_BYTES = 512


class Client:
    """Who is at the other end of one connection.

    certificate_der: the client certificate that the TLS handshake verified, None without one.
    intermediates_der: certificates that the client sent after it, unverified.
    memo: where whoever authenticates keeps, for as long as the connection lasts, what it worked out.
    """

    __slots__ = ("certificate_der", "intermediates_der", "memo")

    def __init__(self, certificate_der: bytes | None = None) -> None:
        self.certificate_der = certificate_der
        self.intermediates_der: Sequence[bytes] = ()
        self.memo: dict[object, object] = {}


class Request:
    """One request.

    method: upper case. target: as sent, undecoded. raw_headers: (name, value) as sent, in their order.
    version: "1.0" or "1.1". keep_alive: whether the client expects the connection to stay.
    """

    __slots__ = ("_headers", "_target", "client", "keep_alive", "method", "raw_headers", "target", "version")

    def __init__(
        self,
        method: str,
        target: bytes,
        raw_headers: Sequence[tuple[bytes, bytes]] = (),
        *,
        client: Client,
        version: str = "1.1",
        keep_alive: bool = True,
    ) -> None:
        self.method = method
        self.target = target
        self.raw_headers = raw_headers
        self.client = client
        self.version = version
        self.keep_alive = keep_alive
        self._target: _Target | None = None
        self._headers: Mapping[bytes, Sequence[bytes]] | None = None

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's parts, each percent-decoded on its own: `/a%2Fb/c/` gives ("a/b", "c").

        One slash at the end is ignored. Bytes that are no UTF-8 become U+FFFD.
        """
        return self._parsed().segments

    @property
    def path(self) -> str:
        """The decoded path, for messages and for paths without variable parts."""
        return "/" + "/".join(self.segments)

    @property
    def query(self) -> Mapping[str, str]:
        """The query's parameters, decoded; of one that is given twice, the first."""
        return self._parsed().query

    @property
    def headers(self) -> Mapping[bytes, Sequence[bytes]]:
        """Lower-case name -> its values, in their order."""
        if self._headers is None:
            headers: dict[bytes, list[bytes]] = {}
            for name, value in self.raw_headers:
                headers.setdefault(name.lower(), []).append(value)
            self._headers = headers
        return self._headers

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header (lower-case name), None without one."""
        values = self.headers.get(name)
        return values[0] if values else None

    def _parsed(self) -> "_Target":
        if self._target is None:
            short = len(self.target) <= _CACHED_TARGET_BYTES
            self._target = _parse_cached(self.target) if short else _parse(self.target)
        return self._target


class _Target(NamedTuple):
    segments: tuple[str, ...]
    query: Mapping[str, str]


def _parse(target: bytes) -> _Target:
    path, _, query = _origin_form(target).partition(b"?")
    parts = path.removeprefix(b"/").split(b"/")
    if parts[-1] == b"":
        parts.pop()
    pairs = parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True)
    return _Target(
        tuple((unquote_to_bytes(part) if b"%" in part else part).decode("utf-8", "replace") for part in parts),
        MappingProxyType(dict(reversed(pairs))),
    )


_parse_cached = lru_cache(maxsize=_CACHED_TARGETS)(_parse)


def _origin_form(target: bytes) -> bytes:
    """`http://host/path?query` as `/path?query`: RFC 9112, 3.2.2 asks servers to take either."""
    if target.startswith(b"/"):
        return target
    scheme, separator, rest = target.partition(b"://")
    if not separator or not scheme.isalpha():
        return target
    slash = rest.find(b"/")
    return rest[slash:] if slash >= 0 else b"/"
