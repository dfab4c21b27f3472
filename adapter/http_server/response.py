"""Answers as bytes, ready for the socket."""

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus

JSON = "application/json"
_NO_BODY = (204, 304)  # RFC 9110, 15.3.5 and 15.4.5: they end with their headers


def response(
    status: int, body: bytes = b"", content_type: str = JSON, headers: Iterable[tuple[str, str]] = ()
) -> bytes:
    """A complete HTTP/1.1 answer: status line, Content-Type, Content-Length, further headers, body.

    204 and 304 carry neither a body nor its length. Whether the connection stays open is the connection's
    matter, and so is HEAD. Raises ValueError for Retry-After (client-go would sleep and retry up to ten times
    inside an HPA worker: client-go rest/with_retry.go) and for a line break in a header.
    """
    head = _head(status, content_type)
    more = b"".join(_header(name, value) for name, value in headers)
    if status in _NO_BODY:
        return b"%b%b\r\n" % (head, more)
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (head, more, len(body), body)


def without_body(answer: bytes) -> bytes:
    """What HEAD gets: the same headers, Content-Length included."""
    return answer[: answer.index(b"\r\n\r\n") + 4]


def with_connection(answer: bytes, option: bytes) -> bytes:
    """The answer with a header `Connection: close` or `Connection: keep-alive`."""
    end = answer.index(b"\r\n") + 2
    return b"%bConnection: %b\r\n%b" % (answer[:end], option, answer[end:])


@lru_cache(maxsize=256)
def _head(status: int, content_type: str) -> bytes:
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode("ascii")
    return line if status in _NO_BODY else line + _header("Content-Type", content_type)


def _header(name: str, value: str) -> bytes:
    if name.lower() == "retry-after":
        raise ValueError("Retry-After: must not be sent, it makes an HPA worker sleep; leave it out")
    if not name or any(sign in name + value for sign in "\r\n\0"):
        raise ValueError(f"{name!r}: was {value!r}, must be one line")
    return f"{name}: {value}\r\n".encode("latin-1")
