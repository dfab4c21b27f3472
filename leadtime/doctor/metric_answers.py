"""What the metrics APIs answer for one object's own `metrics`, and how old it is."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from adapter.sources.kubernetes.api import ApiReader
from autoscaler.autoscaler import Autoscaler
from autoscaler.crd.build import metric_spec
from autoscaler.metrics_client import MetricsClient
from autoscaler.observe.resources import Resources
from autoscaler.observe.scale import ScaleReader
from autoscaler.observe.target_error import TargetError
from leadtime.doctor.gathered import Clocks, Json, MetricAnswer, label
from policies.snapshot import MetricError


async def metric_answers(
    client: ApiReader, resources: Resources, autoscaler: Autoscaler, clocks: Clocks | None
) -> tuple[MetricAnswer, ...]:
    """One for each entry, asked as the HPA asks. clocks: None where the server's time is not known, and then no age."""
    spec, namespace = autoscaler.spec, autoscaler.key.namespace
    assert spec is not None
    if not spec.metrics:
        return ()
    try:
        scale = await ScaleReader(client, resources).read(namespace, spec.scale_target_ref)
    except TargetError as error:
        return (MetricAnswer(autoscaler=label(autoscaler), metric="(all)", error=error.message),)
    answers = []
    for metric in spec.metrics:
        query = metric_spec(metric).query
        reader = _Remembering(client)
        observed = await MetricsClient(reader).observe(namespace, query, scale.selector_text)
        answers.append(
            MetricAnswer(
                autoscaler=label(autoscaler),
                metric=query.name,
                error=observed.message if isinstance(observed, MetricError) else "",
                age_seconds=None if clocks is None else oldest_age_seconds(reader.answer, clocks.server_seconds),
            )
        )
    return tuple(answers)


def oldest_age_seconds(answer: Json, now_seconds: float) -> float | None:
    """Of a list of the metrics APIs; None where no item tells its time."""
    ages = []
    for each in answer.get("items") or ():
        try:
            ages.append(now_seconds - datetime.fromisoformat(each["timestamp"]).timestamp())
        except (KeyError, ValueError, TypeError):
            continue
    return max(ages, default=None)


class _Remembering:
    """A reader that keeps the last answer: what the samples' times are read from."""

    def __init__(self, client: ApiReader) -> None:
        self._client = client
        self.answer: Json = {}
        self.stream = client.stream

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float = 10.0
    ) -> dict[str, Any]:
        answer = await self._client.get(path, params, timeout_seconds=timeout_seconds)
        self.answer = answer
        return answer
