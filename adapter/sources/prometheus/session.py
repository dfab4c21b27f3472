"""The HTTP side: one request, bounded in time and bytes, every trouble under its name.

prometheus-api-client takes a `requests.Session`; ours answers with an `Answer` already taken apart, and raises
instead of returning what is none. The client itself would retry three times with pauses, read without a limit, and
know no warnings.
"""

import email.utils
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from adapter.sources.in_threads import DECODING
from adapter.sources.prometheus.answer import Answer, QueryRefused, error_of, parse_answer
from adapter.sources.prometheus.labels import LabelCache
from adapter.sources.prometheus.settings import PrometheusSettings
from adapter.sources.source import SourceUnavailable

_CHUNK_BYTES = 64 * 1024
_LONGEST_ERROR_BYTES = 64 * 1024


class AnsweredQuery(requests.Response):
    """A 200 whose body is taken apart: what prometheus-api-client asks of a response."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.status_code = 200
        self._answer = answer

    def json(self, **_: Any) -> Any:
        return {"data": {"result": self._answer}}


class BoundedSession(requests.Session):
    """A session of one thread. deadline: monotonic seconds by which the next request must be complete.

    labels: what is known of earlier answers' label sets; used while DECODING is held.
    """

    def __init__(
        self,
        settings: PrometheusSettings,
        auth: AuthBase | None,
        labels: LabelCache,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.deadline = 0.0
        self._settings = settings
        self._labels = labels
        self._monotonic = monotonic
        # Nothing of the environment: a netrc or a proxy that was meant for something else must not see our tokens.
        self.trust_env = False
        self.auth = auth
        self.verify = True if settings.ca_file is None else str(settings.ca_file)
        if settings.cert_file is not None and settings.key_file is not None:
            self.cert = (str(settings.cert_file), str(settings.key_file))
        # Compressing an answer of 0.7 MB costs Prometheus more CPU than computing it (44 ms against 19 ms measured).
        encoding = "gzip" if settings.google_auth else "identity"
        self.headers.update({"Accept": "application/json", "Accept-Encoding": encoding, **settings.headers})
        self.mount("http://", HTTPAdapter(max_retries=0))
        self.mount("https://", HTTPAdapter(max_retries=0))

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Raises SourceUnavailable, or QueryRefused where only this query is at fault."""
        where = self._settings.url
        left = self.deadline - self._monotonic()
        if left <= 0:
            raise self._late(where)
        # auth=None is prometheus-api-client's own, and requests takes the session's then.
        kwargs |= {"timeout": left, "stream": True, "allow_redirects": False}
        try:
            with super().request(method, url, *args, **kwargs) as response:
                self._check_status(response, where)
                kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
                if kind != "application/json":
                    raise SourceUnavailable(
                        "malformed",
                        f"{where}: content type was {kind!r}, must be application/json; is this Prometheus, or a login "
                        "page before it?",
                    )
                body = self._body(response, where)
        except requests.exceptions.SSLError as error:
            raise SourceUnavailable(
                "connection", f"{where}: TLS failed ({_root(error)}); check caFile, certFile and the url's host"
            ) from error
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise self._late(where) from error
        except (urllib3.exceptions.ProtocolError, requests.exceptions.ChunkedEncodingError) as error:
            raise SourceUnavailable("truncated", f"{where}: answer broke off ({_root(error)})") from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            raise SourceUnavailable("connection", f"{where}: {_root(error)}") from error
        except OSError as error:  # requests says so of certificate files that are not there
            raise SourceUnavailable("connection", f"{where}: {error}") from error
        with DECODING:
            return AnsweredQuery(parse_answer(body, self._labels, where=where))

    def _body(self, response: requests.Response, where: str) -> bytes:
        """The whole body, decompressed; chunk by chunk, so that a dripping answer meets the deadline too."""
        limit = self._settings.max_response_bytes
        body = bytearray()
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > limit:
                raise SourceUnavailable(
                    "too_large",
                    f"{where}: answer was over {limit} bytes, must be at most maxResponseBytes; narrow the rule's "
                    "query (extraLabels) or raise the limit",
                )
            if self._monotonic() > self.deadline:
                raise self._late(where)
        return bytes(body)

    def _check_status(self, response: requests.Response, where: str) -> None:
        status = response.status_code
        if status == 200:
            return
        said = error_of(response.raw.read(_LONGEST_ERROR_BYTES, decode_content=True))
        retry_after = _retry_after_seconds(response.headers.get("Retry-After"))
        if status in (400, 422):
            raise QueryRefused("status", f"{where}: refused the query with {status} ({said}); correct the rule's query")
        if status in (401, 403):
            raise SourceUnavailable(
                "unauthorized",
                f"{where}: refused us with {status} ({said}); check the credentials and what they may read",
            )
        if status == 429 or (status == 503 and retry_after is not None):
            raise SourceUnavailable(
                "throttled", f"{where}: throttled us with {status} ({said})", retry_after_seconds=retry_after
            )
        if status == 503 and said.startswith("timeout:"):
            raise SourceUnavailable("timeout", f"{where}: gave the query up ({said})")
        if 300 <= status < 400:
            raise SourceUnavailable(
                "status", f"{where}: redirected to {response.headers.get('Location', '')[:200]}; give the url itself"
            )
        raise SourceUnavailable("status", f"{where}: status was {status} ({said}), must be 200")

    def _late(self, where: str) -> SourceUnavailable:
        return SourceUnavailable(
            "timeout", f"{where}: no answer within timeoutSeconds={self._settings.timeout_seconds:g}"
        )


def _retry_after_seconds(header: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds a number or a date (RFC 9110, 10.2.3); None without a valid one."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        at = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (at - datetime.now(UTC)).total_seconds()) if at.tzinfo is not None else None


def _root(error: BaseException) -> str:
    """The innermost cause: requests and urllib3 wrap it three times and more."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}"[:300]
