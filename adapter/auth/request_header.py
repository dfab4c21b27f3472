"""Users named by the aggregation layer: X-Remote-User and its kin, as the front proxy sends them.

Sources: apiserver pkg/authentication/request/headerrequest/requestheader.go, pkg/server/options/authentication.go.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from adapter.auth.certificate_authorities import Authorities, BadAuthorities
from adapter.auth.identity import User

Headers: TypeAlias = Mapping[bytes, Sequence[bytes]]
"""Lower-case name -> its values, in their order."""


class BadRequestHeaderConfig(ValueError):
    """The ConfigMap's part about the front proxy cannot be used: names the key, the value and what is allowed."""


@dataclass(frozen=True, slots=True)
class RequestHeaderConfig:
    """Which front proxies are believed, and in which headers.

    allowed_names: common names of their certificates, () for any that the authorities have signed.
    The headers are lower-case; for the user and the uid the first with a value counts, for groups all do.
    """

    authorities: Authorities
    allowed_names: tuple[str, ...]
    username_headers: tuple[bytes, ...]
    group_headers: tuple[bytes, ...] = ()
    uid_headers: tuple[bytes, ...] = ()
    extra_prefixes: tuple[bytes, ...] = ()

    def user(self, headers: Headers) -> User | None:
        """The user that the front proxy names, None where it names none.

        Only for a connection whose certificate has been verified.
        """
        name = _first(headers, self.username_headers)
        if not name:
            return None
        groups = tuple(_text(value) for header in self.group_headers for value in headers.get(header, ()) if value)
        return User(name, groups, _first(headers, self.uid_headers), self._extra(headers))

    def credentials(self, headers: Headers) -> tuple[tuple[bytes, tuple[bytes, ...]], ...]:
        """Every header that `user` looks at, as sent: equal ones name equal users."""
        named = self.username_headers + self.group_headers + self.uid_headers
        found = [(name, tuple(values)) for name in named if (values := headers.get(name))]
        if self.extra_prefixes:
            found += [(name, tuple(values)) for name, values in headers.items() if name.startswith(self.extra_prefixes)]
        return tuple(found)

    def _extra(self, headers: Headers) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Extra values by key: what follows a prefix, percent-decoded (`authentication.kubernetes.io%2fpod-name`)."""
        extra: dict[str, list[str]] = {}
        for prefix in self.extra_prefixes:
            for name, values in headers.items():
                if name.startswith(prefix):
                    key = unquote_to_bytes(name[len(prefix) :]).decode("utf-8", "replace")
                    extra.setdefault(key, []).extend(map(_text, values))
        return tuple((key, tuple(extra[key])) for key in sorted(extra))


def parse_request_header_config(data: Mapping[str, str]) -> RequestHeaderConfig:
    """The front proxy's part of the ConfigMap kube-system/extension-apiserver-authentication.

    Raises BadRequestHeaderConfig, also where the part is missing: the aggregation layer is not set up then.
    """
    key = "requestheader-client-ca-file"
    if not data.get(key):
        raise BadRequestHeaderConfig(
            f"{key}: was missing, must hold the front proxy's CA; start kube-apiserver with --{key}"
        )
    try:
        authorities = Authorities(data[key])
    except BadAuthorities as error:
        raise BadRequestHeaderConfig(f"{key}: {error}; correct kube-apiserver's --{key}") from error
    username_headers = _names(data, "requestheader-username-headers")
    if not username_headers:
        raise BadRequestHeaderConfig(
            "requestheader-username-headers: was empty, must name a header; start kube-apiserver with "
            "--requestheader-username-headers=X-Remote-User"
        )
    return RequestHeaderConfig(
        authorities,
        tuple(_strings(data, "requestheader-allowed-names")),
        username_headers,
        _names(data, "requestheader-group-headers"),
        _names(data, "requestheader-uid-headers"),
        _names(data, "requestheader-extra-headers-prefix"),
    )


def _names(data: Mapping[str, str], key: str) -> tuple[bytes, ...]:
    return tuple(name.strip().lower().encode() for name in _strings(data, key) if name.strip())


def _strings(data: Mapping[str, str], key: str) -> list[str]:
    text = data.get(key, "")
    try:
        strings = json.loads(text) if text else []
    except ValueError:
        strings = None
    if not isinstance(strings, list) or not all(isinstance(one, str) for one in strings):
        raise BadRequestHeaderConfig(
            f"{key}: was {text!r}, must be a JSON array of strings; correct kube-apiserver's flag"
        )
    return strings


def _first(headers: Headers, names: tuple[bytes, ...]) -> str:
    for name in names:
        values = headers.get(name)
        if values and values[0]:
            return _text(values[0])
    return ""


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
