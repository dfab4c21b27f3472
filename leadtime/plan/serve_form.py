"""The page's form: its fields, what is in them at first, and what was typed as the question of `leadtime plan`."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from leadtime.plan.candidates import candidates, refusal
from leadtime.plan.demand import demand_of
from leadtime.plan.options import day_of, request_of
from leadtime.plan.request import DEFAULT_POLICIES, PlanRequest
from policies.capacity.gpus import GPUS
from policies.capacity.models import MODELS
from policies.errors import BadInput
from simulations.demand.kinds import DEMAND_KINDS

SOURCES = ("path", "upload", "generator")
"""Of the demand: a recording on this machine, one that was uploaded, a generator's text."""

LONGEST_VALUE = 2_000
_EXAMPLE = "diurnal:rate=20,minutes=1440,prompt_tokens=1024,output_tokens=256"
_NAMED = re.compile(r"(?:--)?([a-z][a-z-]*)")
_ALSO = {"policy": "policies"}

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """option: of `leadtime plan`, without its dashes. choices: what is offered, any other may be typed.

    empty: what an empty field means. rare: shown only when asked for.
    """

    name: str
    option: str
    label: str
    hint: str
    default: str = ""
    empty: str = ""
    choices: tuple[str, ...] = ()
    rare: bool = False


FIELDS = (
    Field(name="model", option="model", label="Model", hint="Short name or Hugging Face id.", choices=tuple(MODELS)),
    Field(
        name="gpus",
        option="gpus",
        label="GPUs",
        hint=f"Candidates, separated by commas, of {', '.join(GPUS)}; h100-tp2 for 2 a replica.",
    ),
    Field(
        name="slo", option="slo", label="SLO: TTFT, TPOT", hint="Seconds, what users were promised.", default="2,0.075"
    ),
    Field(
        name="attainment",
        option="attainment",
        label="Attainment",
        hint="Share of requests that is to meet both, such as 0.99.",
        default="0.99",
    ),
    Field(name="growth", option="growth", label="Growth", hint="Factor on all of the demand, now.", default="1"),
    Field(
        name="peak_factor",
        option="peak-factor",
        label="Crowd",
        hint="Factor on its busiest hour besides.",
        default="1",
    ),
    Field(
        name="lead_time",
        option="lead-time",
        label="Lead time",
        hint="Median seconds from asking for a pod to serving with it.",
        default="300",
        choices=("300", "gke-l4-recorded", "nim-l4"),
    ),
    Field(name="months", option="months", label="Months ahead", hint="A whole number.", default="6"),
    Field(
        name="growth_per_month",
        option="growth-per-month",
        label="Growth a month",
        hint="Factor from each month to the next.",
        default="1",
    ),
    Field(
        name="quota",
        option="quota",
        label="Quota",
        hint="GPUs that the project may have: l4=40,a100=8.",
        empty="unknown",
    ),
    Field(
        name="spot",
        option="spot",
        label="Spot",
        hint="Preemptions per node and hour, zone events per hour, zones: 0.05,0.01,3.",
        empty="no spot nodes",
    ),
    Field(
        name="policies",
        option="policies",
        label="Policies",
        hint="Names from `leadtime policies`, separated by commas, or all.",
        empty=", ".join(DEFAULT_POLICIES),
        rare=True,
    ),
    Field(
        name="profiles",
        option="profile",
        label="Profiles",
        hint="Further candidates: profile names or YAML files, separated by commas.",
        rare=True,
    ),
    Field(name="days", option="days", label="Days", hint="Only the first days of the demand.", empty="all", rare=True),
    Field(
        name="machines", option="machine", label="Machines", hint="l4=g2-standard-12.", empty="the cheapest", rare=True
    ),
    Field(
        name="region", option="region", label="Region", hint="Only machines with a price there.", empty="any", rare=True
    ),
    Field(name="prices", option="prices", label="Prices", hint="A YAML file of your own on this machine.", rare=True),
    Field(name="min_replicas", option="min-replicas", label="minReplicas", hint="", default="1", rare=True),
    Field(
        name="max_replicas",
        option="max-replicas",
        label="maxReplicas",
        hint="",
        empty="twice the peak's need",
        rare=True,
    ),
    Field(
        name="seeds",
        option="seeds",
        label="Seeds",
        hint="Whole numbers; the first searches.",
        default="1,2,3",
        rare=True,
    ),
    Field(name="start", option="start", label="Day of month 0", hint="YYYY-MM-DD.", empty="today, UTC", rare=True),
    Field(
        name="target",
        option="target",
        label="Workload",
        hint="Kind/name, for the manifests.",
        default="Deployment/vllm",
        rare=True,
    ),
)


class FieldFault(Exception):
    """What was typed cannot be planned with. field: where to say so. text: in the command's own words."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field
        self.text = text


def defaults_of(*, demand: str = "", **given: Any) -> dict[str, str]:
    """The form's first values: what was given on the command line, else each field's own default."""
    is_generated = demand.partition(":")[0] in DEMAND_KINDS
    texts = {field.name: _text(given[field.name]) if field.name in given else field.default for field in FIELDS}
    return {
        "source": "generator" if is_generated else "path",
        "path": "" if is_generated else demand,
        "upload": "",
        "generator": demand if is_generated else _EXAMPLE,
        **texts,
    }


def values_of(document: Any) -> dict[str, str]:
    """What a browser sent, as text by field. Raises FieldFault for what the page cannot have sent."""
    names = ("source", *SOURCES, *(field.name for field in FIELDS))
    if not isinstance(document, dict) or set(document) - set(names):
        raise FieldFault("", f"the form: must be an object of {', '.join(names)}; reload the page")
    values = {name: document.get(name, "") for name in names}
    for name, value in values.items():
        if not isinstance(value, str) or len(value) > LONGEST_VALUE:
            raise FieldFault(name, f"--{name}: must be text of at most {LONGEST_VALUE:,} characters; shorten it")
    if values["source"] not in SOURCES:
        raise FieldFault("path", f"--demand: was of source {values['source']!r}, must be of {', '.join(SOURCES)}")
    return {name: value.strip() for name, value in values.items()}


def request_from(values: Mapping[str, str], demand: str, today: date | None = None) -> PlanRequest:
    """The question. demand: the text of the chosen source. today: by which prices are old; None for the day of month 0.

    Raises BadInput, in the words of the command.
    """
    if not demand:
        raise BadInput("--demand: was not given; name a recording, upload one, or type a generator")
    return request_of(
        demand=demand,
        model=values["model"] or None,
        gpus=values["gpus"],
        profiles=tuple(part.strip() for part in values["profiles"].split(",") if part.strip()),
        slo=values["slo"],
        attainment=_number("attainment", values["attainment"], float, "a share, such as 0.99"),
        policies=values["policies"],
        lead_time=values["lead_time"],
        days=_number("days", values["days"], float, "days of the demand") if values["days"] else None,
        growth=_number("growth", values["growth"], float, "a factor, such as 1.3"),
        peak_factor=_number("peak-factor", values["peak_factor"], float, "a factor, such as 1.2"),
        quota=values["quota"],
        machines=values["machines"],
        spot=values["spot"] or None,
        prices=Path(values["prices"]) if values["prices"] else None,
        region=values["region"] or None,
        min_replicas=_number("min-replicas", values["min_replicas"], int, "a whole number of pods"),
        max_replicas=_number("max-replicas", values["max_replicas"], int, "a whole number of pods")
        if values["max_replicas"]
        else None,
        seeds=values["seeds"],
        months=_number("months", values["months"], int, "a whole number of months"),
        growth_per_month=_number("growth-per-month", values["growth_per_month"], float, "a factor, such as 1.1"),
        start=day_of(values["start"] or None),
        today=today,
        target=values["target"],
    )


def check(values: Mapping[str, str], demand: str) -> None:
    """All that can be said before any run. Reads the demand, so it may take seconds. Raises FieldFault."""
    try:
        request = request_from(values, demand)
    except BadInput as error:
        raise FieldFault(_field_of(str(error), values, "gpus"), str(error)) from None
    try:
        tried, refused = candidates(request)
        if not tried:
            raise refusal(refused)
    except BadInput as error:
        raise FieldFault(_field_of(str(error), values, "gpus"), str(error)) from None
    try:
        demand_of(request, request.seeds[0])
    except BadInput as error:
        raise FieldFault(values["source"], str(error)) from None


def command_of(values: Mapping[str, str], demand: str) -> str:
    """The same question as a command line; what is at its default is left out."""
    parts = ["leadtime", "plan", "--demand", demand]
    for field in FIELDS:
        value = values[field.name]
        if not value or value == field.default:
            continue
        several = [part.strip() for part in value.split(",") if part.strip()] if field.name == "profiles" else [value]
        for each in several:
            parts += [f"--{field.option}", each]
    return shlex.join(parts)


def _field_of(text: str, values: Mapping[str, str], otherwise: str) -> str:
    """The field that a message names first."""
    match = _NAMED.match(text)
    named = "" if match is None else _ALSO.get(match[1], match[1])
    if named == "demand":
        return values["source"]
    return next((field.name for field in FIELDS if field.option == named), otherwise)


def _number(option: str, text: str, kind: Callable[[str], Number], remedy: str) -> Number:
    try:
        return kind(text)
    except ValueError:
        raise BadInput(f"--{option}: was {text!r}, must be a number; state {remedy}") from None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
