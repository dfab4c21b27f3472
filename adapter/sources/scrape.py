"""Fetch one metrics page into a parser, piece by piece: no page is ever in memory whole."""

import codecs
import zlib
from collections.abc import Iterator

import aiohttp

from adapter.sources.exposition import MalformedPage
from adapter.sources.page_parser import PageParser, ParsedPage
from adapter.sources.scrape_settings import ScrapeSettings
from adapter.sources.source import SourceUnavailable
from adapter.sources.turns import Turns

_PIECE_BYTES = 16 * 1024
_OPENMETRICS = "application/openmetrics-text"
_ACCEPT = f"text/plain;version=0.0.4;q=1,{_OPENMETRICS};version=1.0.0;q=0.5,text/plain;q=0.4"
_REASONS = {401: "unauthorized", 403: "unauthorized", 429: "throttled"}


async def fetch_page(
    session: aiohttp.ClientSession, url: str, parser: PageParser, settings: ScrapeSettings, turns: Turns
) -> ParsedPage:
    """The page's wanted samples. Raises SourceUnavailable, its message without the URL.

    Redirects are refused: a page is where the targets say, not where a pod points.
    """
    timeout = aiohttp.ClientTimeout(total=settings.timeout_seconds)
    headers = {"Accept": _ACCEPT, "Accept-Encoding": "gzip" if settings.accept_gzip else "identity"}
    try:
        async with session.get(
            url, timeout=timeout, headers=headers, allow_redirects=False, auto_decompress=False
        ) as response:
            _check_status(response)
            parser.openmetrics = _is_openmetrics(response)
            body = _Body(response, settings.page_bytes_limit)
            async for raw in response.content.iter_any():
                for text in body.texts(raw):
                    async with turns():
                        parser.feed(text)
            return parser.finish(is_complete=body.finish())
    except TimeoutError as error:
        raise SourceUnavailable("timeout", f"no page within {settings.timeout_seconds:g} s") from error
    except aiohttp.ClientPayloadError as error:
        raise SourceUnavailable("truncated", f"connection ended within the page ({error})") from error
    except (aiohttp.ClientError, OSError) as error:
        raise SourceUnavailable("connection", f"{error!r}") from error
    except UnicodeDecodeError as error:
        raise SourceUnavailable("encoding", f"page is not UTF-8 ({error.reason})") from error
    except MalformedPage as error:
        raise SourceUnavailable("malformed", str(error)) from error


def _check_status(response: aiohttp.ClientResponse) -> None:
    if response.status == 200:
        return
    after = response.headers.get("Retry-After", "")
    raise SourceUnavailable(
        _REASONS.get(response.status, "status"),
        f"status was {response.status}, must be 200",
        retry_after_seconds=float(after) if after.isdecimal() and len(after) < 6 else None,
    )


def _is_openmetrics(response: aiohttp.ClientResponse) -> bool:
    """By its Content-Type; a page without one is text. Raises SourceUnavailable for any other."""
    said = response.headers.get("Content-Type", "text/plain")
    kind = said.partition(";")[0].strip().lower()
    if kind not in ("text/plain", _OPENMETRICS):
        raise SourceUnavailable(
            "malformed", f"content type was {said[:80]!r}, must be text/plain or {_OPENMETRICS}; check port and path"
        )
    return kind == _OPENMETRICS


class _Body:
    """A response's bytes as text in pieces, decompressed within its limit whatever the compression claims."""

    def __init__(self, response: aiohttp.ClientResponse, limit: int) -> None:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise SourceUnavailable("encoding", f"content encoding was {encoding[:40]!r}, must be identity or gzip")
        self._gunzip = zlib.decompressobj(31) if "gzip" in encoding else None
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._is_framed = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
        self._limit = limit
        self._bytes = 0

    def texts(self, raw: bytes) -> Iterator[str]:
        """Raises SourceUnavailable (too_large, encoding), UnicodeDecodeError."""
        for piece in self._plain(raw):
            self._bytes += len(piece)
            if self._bytes > self._limit:
                raise SourceUnavailable("too_large", f"page was over {self._limit} bytes")
            yield self._decode(piece)

    def finish(self) -> bool:
        """At the end: whether it is known that nothing is missing. Raises SourceUnavailable (truncated)."""
        self._decode(b"", True)
        if self._gunzip is not None and not self._gunzip.eof:
            raise SourceUnavailable("truncated", "gzip stream has no end")
        return self._is_framed or self._gunzip is not None

    def _plain(self, raw: bytes) -> Iterator[bytes]:
        if self._gunzip is None:
            for start in range(0, len(raw), _PIECE_BYTES):
                yield raw[start : start + _PIECE_BYTES]
            return
        try:
            piece = b"more"
            while raw or piece:  # without input it may still hold output back
                piece = self._gunzip.decompress(raw, _PIECE_BYTES)
                yield piece
                raw = self._gunzip.unconsumed_tail
            if self._gunzip.unused_data:
                raise SourceUnavailable("encoding", "data behind the end of the gzip stream")
        except zlib.error as error:
            raise SourceUnavailable("encoding", f"not gzip ({error})") from error
