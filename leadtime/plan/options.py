"""What is typed on the command line or in a form, as a `PlanRequest`. A fault is one BadInput that names its field."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from leadtime.plan.candidates import gpu_named
from leadtime.plan.knobs import SEARCHED, check_policies
from leadtime.plan.request import DEFAULT_POLICIES, PlanRequest, SpotWanted
from policies.errors import BadInput
from simulations.lead_time import LeadTime
from simulations.slo import SLO
from simulations.start.presets import PRESETS

_TARGET = re.compile(r"[A-Za-z][A-Za-z0-9]*/[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_SPREAD = LeadTime().sigma


def request_of(
    *,
    demand: str,
    model: str | None,
    gpus: str,
    profiles: tuple[str, ...] = (),
    slo: str = "2,0.075",
    attainment: float = 0.99,
    policies: str = "",
    lead_time: str = "300",
    days: float | None = None,
    growth: float = 1.0,
    peak_factor: float = 1.0,
    quota: str = "",
    machines: str = "",
    spot: str | None = None,
    prices: Path | None = None,
    region: str | None = None,
    min_replicas: int = 1,
    max_replicas: int | None = None,
    seeds: str = "1,2,3",
    months: int = 6,
    growth_per_month: float = 1.0,
    start: date,
    today: date | None = None,
    target: str = "Deployment/vllm",
) -> PlanRequest:
    """The question. Raises BadInput."""
    ttft, tpot = _numbers("slo", slo, 0.001, 3_600.0, 2, "state TTFT and TPOT in seconds, such as 2,0.075")
    names = _policies(policies)
    if not _TARGET.fullmatch(target):
        raise BadInput(f"--target: was {target!r}, must be Kind/name, such as Deployment/vllm")
    return PlanRequest(
        demand=demand,
        model=model,
        gpus=_words(gpus),
        profiles=profiles,
        slo=SLO(ttft_seconds=ttft, tpot_seconds=tpot),
        attainment=attainment,
        policies=names,
        lead_time=lead_time_of(lead_time),
        days=days,
        growth=growth,
        peak_factor=peak_factor,
        quota=_quota(quota),
        machines=_by_gpu("machine", machines, "l4=g2-standard-12"),
        spot=None if spot is None else _spot(spot),
        prices=prices,
        region=region,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        seeds=tuple(int(each) for each in _numbers("seeds", seeds, 0, 2**32 - 1, None, "whole numbers, such as 1,2,3")),
        months=months,
        growth_per_month=growth_per_month,
        start=start,
        today=today,
        target=target,
    )


def lead_time_of(text: str) -> LeadTime:
    """Seconds as a median, halved into start and load, or the cold start of a preset. Raises BadInput."""
    preset = PRESETS.get(text)
    if preset is not None:
        cold = preset.start.as_lead_time(preset.pool.provision)
        return replace(cold, sigma=_SPREAD)
    try:
        seconds = float(text)
    except ValueError:
        near = difflib.get_close_matches(text, PRESETS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BadInput(
            f"--lead-time: was {text!r}, must be seconds in [1, 7200] or one of {', '.join(PRESETS)}{hint}"
        ) from None
    if not 1.0 <= seconds <= 7_200.0:
        raise BadInput(
            f"--lead-time: was {text}, must be in [1, 7200] seconds, from asking for a pod to serving with it"
        )
    return LeadTime.of_median(seconds)


def day_of(text: str | None) -> date:
    """YYYY-MM-DD, or today in UTC where nothing was said. Raises BadInput."""
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--start: was {text!r}, must be a day as YYYY-MM-DD") from None


def _policies(text: str) -> tuple[str, ...]:
    if not text:
        return DEFAULT_POLICIES
    names = SEARCHED if text == "all" else tuple(dict.fromkeys(_words(text)))
    check_policies(names)
    return names


def _quota(text: str) -> dict[str, int]:
    found = {}
    for gpu, value in _by_gpu("quota", text, "l4=40,a100=8").items():
        if not value.isdecimal() or not 1 <= int(value) <= 960_000:
            raise BadInput(f"--quota: {gpu} was {value!r}, must be a whole number of GPUs in [1, 960000]")
        found[gpu] = int(value)
    return found


def _by_gpu(option: str, text: str, example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in _words(text):
        name, equals, value = part.partition("=")
        if not equals or not value.strip():
            raise BadInput(f"--{option}: was {part!r}, must be GPU=VALUE, separated by commas, such as {example}")
        gpu = gpu_named(name.strip(), f"--{option}")
        if gpu in found:
            raise BadInput(f"--{option}: {gpu} was given twice; remove one")
        found[gpu] = value.strip()
    return found


def _spot(text: str) -> SpotWanted:
    values = _numbers(
        "spot", text, 0.0, 60.0, None, "preemptions per node and hour, zone events per hour, zones: 0.05 or 0.05,0.01,3"
    )
    if len(values) > 3 or (len(values) == 3 and not (1 <= values[2] == int(values[2]))):
        raise BadInput(
            f"--spot: was {text}, must be 1 to 3 numbers: preemptions per node and hour, zone events per hour, a whole "
            "number of zones, such as 0.05,0.01,3"
        )
    rates: Mapping[int, float] = dict(enumerate(values))
    return SpotWanted(
        preemptions_per_node_hour=rates[0], zone_events_per_hour=rates.get(1, 0.0), zones=int(rates.get(2, 1))
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(option: str, text: str, low: float, high: float, count: int | None, remedy: str) -> list[float]:
    """Numbers separated by commas, each in [low, high]; so many where count is given. Raises BadInput."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(low <= value <= high for value in values) or len(values) != (count or len(values)):
        many = f"{count} numbers" if count else "numbers"
        raise BadInput(
            f"--{option}: was {text!r}, must be {many} in [{low:g}, {high:g}], separated by commas; {remedy}"
        )
    return values
