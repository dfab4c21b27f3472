"""Calls of the Monitoring API: pages decoded, every trouble under its name.

The synchronous client in threads, not the asynchronous one: gRPC enforces each call's deadline either way, and a page
is taken apart in the thread, where the asynchronous client would hold up the event loop that answers the HPAs: for 35
ms (the newest points) to 130 ms (all) of a page of 1,000 series with 20 points each, measured.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adapter.sources.cloud_monitoring.filters import Aggregation, Field
from adapter.sources.cloud_monitoring.messages import CloudSeries, add_series
from adapter.sources.cloud_monitoring.settings import CloudMonitoringSettings
from adapter.sources.in_threads import DECODING, unhurried
from adapter.sources.series import NS_PER_SECOND
from adapter.sources.source import SourceUnavailable

ROLE = "roles/monitoring.viewer"
_SERIES_AT_A_TIME = 8
"""Some 35 us each with one point, 130 us with twenty: up to a millisecond."""
_SCOPES = ("https://www.googleapis.com/auth/monitoring.read",)


class NoSuchMetric(Exception):
    """The project has no metric of that type: nobody ever wrote to it."""


class CallRefused(SourceUnavailable):
    """The API is well and this one call is not: a retry does not help until the rule is changed."""


def check_limit(count: int, limit: int) -> None:
    """Raise CallRefused for more series than the limit."""
    if count > limit:
        raise CallRefused(
            "limit", f"had over seriesLimit={limit} series, must have at most so many; raise it or narrow the filter"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesQuery:
    """One ListTimeSeries. field: what of each point is wanted. newest_only: the newest point of each is enough."""

    project: str
    filter: str
    start_ns: int
    end_ns: int
    field: Field
    aggregation: Aggregation | None = None
    newest_only: bool = False


class MonitoringClient:
    """Thread-safe. Connects at its first call."""

    def __init__(self, settings: CloudMonitoringSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._connection: Any = None

    def list_series(
        self, query: SeriesQuery, *, timeout_seconds: Callable[[], float], on_page: Callable[[], None]
    ) -> list[CloudSeries]:
        """All pages of the query, the parts of a series put together. Raises NoSuchMetric, SourceUnavailable.

        timeout_seconds: how long the next page may take. on_page: told before each page after the first.
        Beyond the series limit it raises: a part of them is no use, since sums over it would be too low.
        """
        from google.cloud.monitoring_v3 import ListTimeSeriesRequest

        request = ListTimeSeriesRequest.pb(ListTimeSeriesRequest())
        request.name = f"projects/{query.project}"
        request.filter = query.filter
        for timestamp, at_ns in (
            (request.interval.start_time, query.start_ns),
            (request.interval.end_time, query.end_ns),
        ):
            timestamp.seconds, timestamp.nanos = divmod(at_ns, NS_PER_SECOND)
        request.page_size = self._settings.page_size
        if query.aggregation is not None:
            aggregation = request.aggregation
            aggregation.alignment_period.seconds = query.aggregation.period_seconds
            aggregation.per_series_aligner = aggregation.Aligner.Value(query.aggregation.per_series_aligner)
            aggregation.cross_series_reducer = aggregation.Reducer.Value(query.aggregation.cross_series_reducer)
            aggregation.group_by_fields.extend(query.aggregation.group_by_fields)
        found: dict[object, CloudSeries] = {}
        while True:
            pager = self._call(
                "list_time_series", ListTimeSeriesRequest(request), query.project, timeout_seconds=timeout_seconds
            )
            # Not the pager's own loop: its later pages would each get the first one's timeout again.
            page = next(pager.pages)
            page = type(page).pb(page)  # the bare message: its wrapper costs ten times as much to read
            with DECODING:
                for raw in unhurried(page.time_series, every=_SERIES_AT_A_TIME):
                    add_series(found, raw, field=query.field, newest_only=query.newest_only)
            check_limit(len(found), self._settings.series_limit)
            if not page.next_page_token:
                return list(found.values())
            request.page_token = page.next_page_token
            on_page()

    def describe(self, project: str, metric_type: str, *, timeout_seconds: Callable[[], float]) -> tuple[str, str]:
        """The type's metric kind and value type. Raises NoSuchMetric, SourceUnavailable."""
        from google.cloud.monitoring_v3 import GetMetricDescriptorRequest

        request = GetMetricDescriptorRequest(name=f"projects/{project}/metricDescriptors/{metric_type}")
        descriptor = self._call("get_metric_descriptor", request, project, timeout_seconds=timeout_seconds)
        return descriptor.MetricKind.Name(descriptor.metric_kind), descriptor.ValueType.Name(descriptor.value_type)

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.transport.close()

    def _call(self, method: str, request: object, project: str, *, timeout_seconds: Callable[[], float]) -> Any:
        from google.api_core.exceptions import GoogleAPICallError, NotFound
        from google.auth.exceptions import GoogleAuthError

        timeout = timeout_seconds()
        if timeout <= 0:
            raise self._late()
        try:
            # No retries of the library's: they would make calls that nobody counts.
            return getattr(self._connected(), method)(request, retry=None, timeout=timeout)
        except NotFound as error:
            raise NoSuchMetric(str(error)) from error
        except GoogleAPICallError as error:
            raise self._named(error, project) from error
        except GoogleAuthError as error:
            raise SourceUnavailable(
                "unauthorized",
                f"{self._settings.endpoint}: no access token ({error}); run under Workload Identity, with the role "
                f"{ROLE} in project {project}, or set GOOGLE_APPLICATION_CREDENTIALS",
            ) from error

    def _connected(self) -> Any:
        # Imported where it is used: it takes a second, which every command would wait for.
        import grpc
        from google.cloud.monitoring_v3 import MetricServiceClient
        from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport

        settings = self._settings
        with self._lock:
            if self._connection is None:
                options = [("grpc.max_receive_message_length", settings.max_response_bytes)]
                if settings.plaintext:
                    channel = grpc.insecure_channel(settings.endpoint, options=options)
                else:
                    channel = MetricServiceGrpcTransport.create_channel(
                        settings.endpoint, scopes=_SCOPES, options=options
                    )
                self._connection = MetricServiceClient(transport=MetricServiceGrpcTransport(channel=channel))
            return self._connection

    def _late(self) -> SourceUnavailable:
        settings = self._settings
        return SourceUnavailable(
            "timeout", f"{settings.endpoint}: no answer within timeoutSeconds={settings.timeout_seconds:g}"
        )

    def _named(self, error: Any, project: str) -> SourceUnavailable:
        """The library's error by our names. Throttling stays throttling: a metric is not gone for it."""
        from google.api_core import exceptions

        where, said = self._settings.endpoint, str(error.message)[:300]
        match error:
            case exceptions.DeadlineExceeded():
                return self._late()
            case exceptions.ResourceExhausted() if "message larger than max" in said:
                return CallRefused(
                    "too_large",
                    f"{where}: {said}, must be at most maxResponseBytes; lower pageSize or narrow the rule's filter",
                )
            case exceptions.ResourceExhausted():
                return SourceUnavailable(
                    "throttled",
                    f"{where}: throttled project {project} ({said}); lower requestsPerMinute or raise "
                    "the project's quota",
                    retry_after_seconds=_retry_after_seconds(error),
                )
            case exceptions.PermissionDenied():
                return SourceUnavailable(
                    "unauthorized",
                    f"{where}: may not read the metrics of project {project} ({said}); grant the adapter's identity "
                    f"the role {ROLE} there",
                )
            case exceptions.Unauthenticated():
                return SourceUnavailable("unauthorized", f"{where}: does not know us ({said}); check the credentials")
            case exceptions.ServiceUnavailable():
                return SourceUnavailable("connection", f"{where}: {said}")
            case exceptions.BadRequest():
                return CallRefused("status", f"{where}: refused the query ({said}); correct the rule's cloudMonitoring")
            case _:
                return SourceUnavailable("status", f"{where}: {type(error).__name__} ({said})")


def _retry_after_seconds(error: Any) -> float | None:
    """Of the error's google.rpc.RetryInfo; None without one."""
    for detail in error.details:
        delay = getattr(detail, "retry_delay", None)
        if delay is not None:
            return float(delay.seconds + delay.nanos / NS_PER_SECOND)
    return None
