"""Reads custom.metrics.k8s.io and external.metrics.k8s.io as the HPA's own REST client does.

Source of paths and of what counts as an error: kubernetes pkg/controller/podautoscaler/metrics/client.go.
"""

import ssl
from datetime import datetime
from typing import Any
from urllib.parse import quote

import aiohttp

from policies.errors import BadInput
from policies.hpa.milli_value import milli
from policies.snapshot import (
    NS_PER_SECOND,
    ExternalMetric,
    MetricError,
    MetricQuery,
    Observation,
    PodMetrics,
    PodSample,
)

_TIMEOUT = aiohttp.ClientTimeout(total=10)


class MetricsClient:
    """One API server (or a metrics adapter directly), over HTTPS with a client certificate."""

    def __init__(self, base_url: str, tls: ssl.SSLContext) -> None:
        self._base_url = base_url.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls), timeout=_TIMEOUT, raise_for_status=False
        )

    async def close(self) -> None:
        await self._session.close()

    async def observe(self, namespace: str, query: MetricQuery) -> Observation:
        """One query's answer. Whatever goes wrong is a MetricError with the reason, never an empty value."""
        selector = ",".join(f"{label}={value}" for label, value in query.selector)
        name = quote(query.name, safe="")
        if query.type == "Pods":
            path = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/*/{name}"
            parameters = {"labelSelector": selector} if selector else {}
        elif query.type == "External":
            # client-go lower-cases an External metric's name because it travels as a resource
            path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{name.lower()}"
            parameters = {"labelSelector": selector} if selector else {}
        else:
            return MetricError(f"{query.type} metrics are not read by this client, only Pods and External")
        try:
            async with self._session.get(self._base_url + path, params=parameters) as response:
                body = await response.json(content_type=None)
                if response.status != 200:
                    return MetricError(f"{response.status} {body.get('reason')}: {body.get('message')}")
            items = body["items"]
            if not items:
                return MetricError(f"no metrics returned for {query.name}")
            if query.type == "Pods":
                return PodMetrics({item["describedObject"]["name"]: _pod_sample(item) for item in items})
            return ExternalMetric(tuple(quantity_milli(item["value"]) for item in items))
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError, AttributeError) as error:
            return MetricError(f"GET {path}: {error!r}")


def quantity_milli(text: str) -> int:
    """A Kubernetes Quantity in milli-units, rounded up like MilliValue. Raises ValueError."""
    try:
        return milli(text)
    except BadInput as error:
        raise ValueError(f"quantity: {error}") from None


def _pod_sample(item: dict[str, Any]) -> PodSample:
    at = datetime.fromisoformat(item["timestamp"])
    window_seconds = item.get("windowSeconds")
    return PodSample(
        value_milli=quantity_milli(item["value"]),
        at_ns=int(at.timestamp()) * NS_PER_SECOND,
        window_ns=(60 if window_seconds is None else window_seconds) * NS_PER_SECOND,
    )
