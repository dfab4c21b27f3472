"""What of a CombinedSpec cannot be used: the checks of the predictive rule, of an HPA and of cron, and its own."""

from policies import cron
from policies.combined.spec import CombinedSpec, ScheduledFloor
from policies.errors import BadInput
from policies.hpa import HPASpec, validate
from policies.hpa.validation import check_options
from policies.predictive.spec import check as check_predictive

_LONGEST_HOLD_SECONDS = 86_400.0


def check(spec: CombinedSpec) -> None:
    """Raise BadInput for the first field that cannot be used."""
    check_predictive(spec.predictive)
    check_options(spec.controller)
    if spec.metrics:
        validate(hpa_spec(spec))
    names: set[str] = set()
    for index, floor in enumerate(spec.schedules):
        _check_schedule(f"schedules[{index}]", floor, spec.predictive.max_replicas)
        if floor.name in names:
            raise BadInput(f"schedules[{index}].name: was {floor.name!r}, must be unique; rename one of the two")
        names.add(floor.name)
    hold_seconds = spec.fallback.hold_seconds
    if not 0.0 <= hold_seconds <= _LONGEST_HOLD_SECONDS:  # NaN fails the comparison too
        raise BadInput(f"fallback.holdSeconds: was {hold_seconds}, must be in [0, {_LONGEST_HOLD_SECONDS:.0f}]")
    if spec.fallback.replicas is not None:
        _check_replicas("fallback.replicas", spec.fallback.replicas, spec.predictive.max_replicas)


def hpa_spec(spec: CombinedSpec) -> HPASpec:
    """The plain HPA that the metrics alone would be: with the bounds and the behavior of the whole."""
    return HPASpec(
        min_replicas=spec.predictive.min_replicas,
        max_replicas=spec.predictive.max_replicas,
        metrics=spec.metrics,
        behavior=spec.predictive.rules,
        controller=spec.controller,
    )


def _check_schedule(field: str, floor: ScheduledFloor, max_replicas: int) -> None:
    for name, text in (("start", floor.start), ("end", floor.end)):
        try:
            cron.parse(text)
        except BadInput as error:
            raise BadInput(f"{field}.{name}: {error}") from error
    if floor.start.split() == floor.end.split():
        raise BadInput(f"{field}.end: was {floor.end!r}, must differ from start; set when the floor ends")
    try:
        cron.time_zone(floor.time_zone)
    except BadInput as error:
        raise BadInput(f"{field}.{error}") from error
    _check_replicas(f"{field}.minReplicas", floor.min_replicas, max_replicas)


def _check_replicas(field: str, replicas: int, max_replicas: int) -> None:
    if not 1 <= replicas <= max_replicas:
        raise BadInput(
            f"{field}: was {replicas}, must be in [1, maxReplicas ({max_replicas})]; lower it or raise maxReplicas"
        )
