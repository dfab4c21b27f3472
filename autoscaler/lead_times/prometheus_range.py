"""Range queries, each bounded in time and bytes, through prometheus-api-client."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from adapter.sources.prometheus.answer import error_of
from adapter.sources.prometheus.credentials import credentials_of
from adapter.sources.prometheus.settings import PrometheusSettings
from adapter.sources.source import SourceUnavailable

_MOST_POINTS = 10_000
"""Of one query; Prometheus refuses more than 11,000 (web/api/v1/api.go, queryRange)."""
_CHUNK_BYTES = 64 * 1024


class RangeQueries:
    """One Prometheus, for one thread. A query in several parts where it would be too long."""

    def __init__(self, settings: PrometheusSettings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._session = _Session(settings, monotonic)

    def matrix(
        self, promql: str, *, since_seconds: float, until_seconds: float, step_seconds: int, deadline: float
    ) -> list[Mapping[str, Any]]:
        """The series of each part, as they came. since, until: Unix. deadline: monotonic seconds.

        Raises SourceUnavailable.
        """
        from prometheus_api_client import (
            PrometheusConnect,
        )  # takes a fifth of a second, that only a back-fill waits for
        from prometheus_api_client.exceptions import PrometheusApiClientException
        from urllib3 import Retry

        self._session.deadline = deadline
        client = PrometheusConnect(
            self._settings.url.rstrip("/"), session=self._session, retry=Retry(0, read=False), timeout=1
        )
        rows: list[Mapping[str, Any]] = []
        since = since_seconds
        try:
            while since <= until_seconds:
                until = min(until_seconds, since + (_MOST_POINTS - 1) * step_seconds)
                rows += _series(client.custom_query_range(promql, _at(since), _at(until), str(step_seconds)))
                since = until + step_seconds
        except (requests.exceptions.RequestException, PrometheusApiClientException, ValueError, KeyError) as error:
            raise SourceUnavailable("malformed", f"{self._settings.url}: {error!r}"[:300]) from error
        return rows

    def close(self) -> None:
        self._session.close()


class _Session(requests.Session):
    """Answers are read whole, by the deadline and up to maxResponseBytes; what is none is raised."""

    def __init__(self, settings: PrometheusSettings, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self.deadline = 0.0
        self._settings = settings
        self._monotonic = monotonic
        self.trust_env = False  # a proxy or netrc that was meant for something else must not see our tokens
        self.auth = credentials_of(settings)
        self.verify = True if settings.ca_file is None else str(settings.ca_file)
        if settings.cert_file is not None and settings.key_file is not None:
            self.cert = (str(settings.cert_file), str(settings.key_file))
        self.headers.update({"Accept": "application/json", **settings.headers})
        self.mount("http://", HTTPAdapter(max_retries=0))
        self.mount("https://", HTTPAdapter(max_retries=0))

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        where, left = self._settings.url, self.deadline - self._monotonic()
        if left <= 0:
            raise SourceUnavailable("timeout", f"{where}: the time for it was over")
        kwargs |= {"timeout": left, "stream": True, "allow_redirects": False}
        try:
            with super().request(method, url, *args, **kwargs) as response:
                body = self._body(response, where)
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise SourceUnavailable("timeout", f"{where}: no answer in time") from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise SourceUnavailable("connection", f"{where}: {error}"[:300]) from error
        if response.status_code != 200:
            raise SourceUnavailable("status", f"{where}: status was {response.status_code} ({error_of(body)})")
        whole = requests.Response()
        whole.status_code = 200
        whole._content = body  # noqa: SLF001 - as requests does it itself once a body is read
        return whole

    def _body(self, response: requests.Response, where: str) -> bytes:
        body = bytearray()
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > self._settings.max_response_bytes:
                limit = self._settings.max_response_bytes
                raise SourceUnavailable("too_large", f"{where}: answer was over {limit} bytes, must be at most that")
            if self._monotonic() > self.deadline:
                raise SourceUnavailable("timeout", f"{where}: no answer in time")
        return bytes(body)


def _series(result: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(result, list) or not all(isinstance(each, dict) for each in result):
        raise ValueError(f"result was {str(result)[:80]!r}, must be a list of series")
    return result


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
