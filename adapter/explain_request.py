"""Ask the running adapter to explain a metric, through the API server."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from adapter.errors import BadInput
from adapter.sources.kubernetes.api import ApiError
from adapter.sources.kubernetes.client import KubeClient
from adapter.sources.kubernetes.configuration import BadKubeconfig


async def ask(
    metric: str,
    *,
    namespace: str,
    resource: str | None,
    selector: str,
    kubeconfig: Path | None,
    context: str | None,
) -> dict[str, Any]:
    """The MetricExplanation. resource: "pods/*", "services/vllm"; None for an External metric. Raises BadInput."""
    path, parameter = explain_path(metric, namespace=namespace, resource=resource)
    parameters = {"explain": "true"} | ({parameter: selector} if selector else {})
    try:
        client = await KubeClient.connect(kubeconfig, context)
    except BadKubeconfig as error:
        raise BadInput(str(error)) from error
    try:
        return await client.get(path, parameters)
    except ApiError as error:
        raise BadInput(str(error)) from error
    finally:
        await client.close()


def explain_path(metric: str, *, namespace: str, resource: str | None) -> tuple[str, str]:
    """The path, and the name of the parameter that holds the metric's selector. Raises BadInput."""
    name = quote(metric, safe="")
    if resource is None:
        return f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{name}", "labelSelector"
    kind, slash, of = resource.partition("/")
    if not slash or not kind or not of:
        raise BadInput(f"--object: was {resource!r}, must be RESOURCE/NAME, such as services/vllm; correct it")
    group = "/apis/custom.metrics.k8s.io/v1beta2"
    if kind == "namespaces":
        return f"{group}/namespaces/{of}/metrics/{name}", "metricLabelSelector"
    if kind == "nodes":
        return f"{group}/nodes/{of}/{name}", "metricLabelSelector"
    return f"{group}/namespaces/{namespace}/{kind}/{quote(of, safe='')}/{name}", "metricLabelSelector"
