"""`spec` as the API server or a file has it -> PredictiveAutoscalerSpec."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError

from autoscaler.crd.faults import faults
from autoscaler.crd.schema import Json, structural
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from policies.errors import BadInput


def parse_spec(json: Mapping[str, Any] | None) -> PredictiveAutoscalerSpec:
    """The spec with its defaults filled in.

    Whatever the CRD refuses is refused here too, for objects in files and for those stored under an older CRD; and
    what CEL cannot know: cron expressions and time zones. A field that is null is one that is not there, as in the API
    server. Raises BadInput with every fault, one a line: `spec.minReplicas: was 5, must be at most ...; lower it ...`.
    """
    given = _without_nulls(json) if isinstance(json, Mapping) else json
    try:
        return PredictiveAutoscalerSpec.model_validate(given, by_alias=True, by_name=False)
    except ValidationError as error:
        raise BadInput("\n".join(faults(error, _schema(), "spec"))) from None


@cache
def _schema() -> Json:
    return structural(PredictiveAutoscalerSpec)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value
