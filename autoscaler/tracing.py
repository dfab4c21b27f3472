"""Spans of a step, where OpenTelemetry is installed (extra `otel`) and told where to send them; else nothing.

What to send, where and how often is set by OpenTelemetry's own environment variables, such as
OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER and OTEL_SERVICE_NAME.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

_log = logging.getLogger(__name__)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Value = str | int | float | bool


class Tracer(Protocol):
    """What of opentelemetry.trace.Tracer is used."""

    def start_as_current_span(self, name: str, *, attributes: Mapping[str, Value]) -> Any: ...


class Tracing:
    """tracer: None where nothing is traced. A span that ends by an exception says so by itself."""

    def __init__(self, tracer: Tracer | None = None, *, stop: Callable[[], None] = lambda: None) -> None:
        self._tracer = tracer
        self.stop = stop

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Value]) -> Iterator[None]:
        if self._tracer is None:
            yield
            return
        with self._tracer.start_as_current_span(name, attributes=attributes):
            yield


def configured_tracing(service: str, environ: Mapping[str, str] = os.environ) -> Tracing:
    """By the environment. service: the name where OTEL_SERVICE_NAME gives none."""
    if not any(environ.get(name) for name in _ENDPOINTS) or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        _log.warning("%s is set, but OpenTelemetry is not installed (%s); install leadtime[otel]", _ENDPOINTS[0], error)
        return Tracing()
    resource = Resource.create({SERVICE_NAME: environ.get("OTEL_SERVICE_NAME") or service})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider.get_tracer("leadtime.autoscaler"), stop=provider.shutdown)
