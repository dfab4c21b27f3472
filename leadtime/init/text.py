"""The PredictiveAutoscaler as YAML with comments: what was taken from where, and what is left to decide. Pure."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from autoscaler.crd.custom_resource import API_VERSION, KIND
from autoscaler.crd.parse import parse_spec
from leadtime.init.existing import Existing
from leadtime.init.profile_guess import ProfileGuess
from leadtime.init.seen_lead_time import SeenLeadTime
from policies.capacity.profile import profile_named
from policies.errors import BadInput

_WIDTH = 116
_UNDECIDED = "MODEL-GPU"
"""A profile that is none: the controller refuses it with the list of those there are, so nothing runs by chance."""
_USUAL_TPOT_SECONDS = 0.075  # 13 tokens a second: faster than people read
_TPOT_OVER_BASE = 1.5  # room for a batch where even one request alone takes long
_LONGEST_NAME = 63  # a label's value: an HPA selects the published need by the object's name


def predictive_autoscaler(
    found: Existing,
    profile: ProfileGuess,
    *,
    gpus_per_replica: int,
    lead_time: SeenLeadTime | None = None,
    node_selector: Mapping[str, str] | None = None,
    namespace: str | None = None,
) -> str:
    """A manifest that autoscaler.crd.parse.parse_spec accepts; raises its BadInput where an HPA's own field cannot be
    taken over."""
    by = f"of the {found.kind}"
    lines = [
        *_comment(
            f"Made by leadtime init from {found.kind} {found.name}. Mode Recommend: it says what it would do, and "
            "writes nothing. Lines with DECIDE are yours."
        ),
        *_field("apiVersion", API_VERSION, indent=0),
        *_field("kind", KIND, indent=0),
        "metadata:",
        *_field("name", found.name[:_LONGEST_NAME].rstrip("-.")),
        *(_field("namespace", found.namespace or namespace) if found.namespace or namespace else ()),
        "spec:",
        *_field("mode", "Recommend", "then Metric or Floor, then Direct, when you trust it"),
        *_field("scaleTargetRef", found.target, by),
        *_minimum(found, by),
        *_field("maxReplicas", max(found.max_replicas, 1), f"{by}; it is what a mistake can cost"),
        *_profile(profile),
        *_slo(profile),
        *_field("cost", {"gpusPerReplica": gpus_per_replica}, "of the pods; for status and page only"),
        "    # pricePerGpuHour: 0.71 # DECIDE: what one of your GPUs costs an hour; without it no cost is shown",
        *_lead_time(lead_time),
    ]
    if found.behavior is not None:
        lines += _field("behavior", found.behavior, by)
    if found.schedules:
        lines += _field("schedules", list(found.schedules), "of its cron triggers; the largest floor counts")
    lines += _metrics(found, _spec_in(lines))
    lines += _pools(node_selector or {}, gpus_per_replica)
    lines += _left(found)
    lines += _next_steps(found)
    parse_spec(_spec_in(lines))
    return "\n".join(lines) + "\n"


def _spec_in(lines: Sequence[str]) -> Mapping[str, Any]:
    """What the lines say to a parser."""
    spec = yaml.safe_load("\n".join(lines))["spec"]
    assert isinstance(spec, dict)
    return spec


def _minimum(found: Existing, by: str) -> Iterator[str]:
    if found.min_replicas >= 1:
        yield from _field("minReplicas", found.min_replicas, by)
    else:
        why = f"{by} it was 0: the first request after zero would wait a lead time"
        yield from _field("minReplicas", 1, why)


def _profile(profile: ProfileGuess) -> Iterator[str]:
    if profile.name is None:
        yield from _comment(
            "DECIDE: the latency profile, one of docs/reference/profiles.md; until then the controller does nothing "
            f"with the object. Not guessed: {profile.why}.",
            indent=2,
        )
        yield from _field("profile", _UNDECIDED)
    else:
        yield from _comment(f"Guessed from {profile.why}. {profile_named(profile.name).validation}.", indent=2)
        yield from _field("profile", profile.name, "DECIDE: whether that is right; it gives a replica's capacity")


def _slo(profile: ProfileGuess) -> Iterator[str]:
    tpot = _USUAL_TPOT_SECONDS
    if profile.name is not None:
        tpot = max(tpot, round(profile_named(profile.name).base_seconds * _TPOT_OVER_BASE, 3))
    yield from _comment("DECIDE: what your users were promised; these are usual values, nothing of yours.", indent=2)
    yield from _field("slo", {"ttftSeconds": 2.0, "tpotSeconds": tpot, "attainment": 0.95})


def _lead_time(seen: SeenLeadTime | None) -> Iterator[str]:
    if seen is None:
        value, why = 240.0, "assumed, until pods were seen to become ready"
    else:
        value, why = float(seen.median_seconds), f"median of {seen.pods} pods that run now; learned from then on"
    yield from _field("leadTime", {"assumedSeconds": value}, why)


def _metrics(found: Existing, spec: Mapping[str, Any]) -> Iterator[str]:
    if not found.metrics:
        return
    yield from _comment(
        "The HPA keeps its own metrics in modes Recommend, Metric and Floor. For mode Direct, where it must go, take "
        "them over: they only ever add replicas, and decide alone while demand is not known.",
        indent=2,
    )
    try:
        parse_spec({**spec, "metrics": _plain(found.metrics)})
    except BadInput as error:
        yield from _comment(f"DECIDE: they cannot be taken over as they stand: {error}", indent=2)
    yield from (f"  # {line}".rstrip() for line in _yaml({"metrics": list(found.metrics)}))


def _pools(node_selector: Mapping[str, str], gpus: int) -> Iterator[str]:
    yield from _comment(
        "To have nodes before pods need them; provider Recommend only says how many. DECIDE: maxNodes, prices.",
        indent=2,
    )
    pool: dict[str, Any] = {"name": "gpu", "provider": "Recommend", "gpusPerNode": gpus, "maxNodes": 10}
    if node_selector:
        pool["nodeSelector"] = dict(node_selector)
    yield from (f"  # {line}" for line in _yaml({"nodePools": [pool]}))


def _left(found: Existing) -> Iterator[str]:
    if found.left:
        yield from _comment("Not taken over:")
        for text in found.left:
            yield from _comment(f"- {text}")


def _next_steps(found: Existing) -> Iterator[str]:
    name = found.name[:_LONGEST_NAME].rstrip("-.")
    where = f" -n {found.namespace}" if found.namespace else ""
    floor = (
        "Floor is not possible while KEDA owns the HPA: set minReplicaCount there instead, or use Direct and pause KEDA"
        if found.kind == "ScaledObject"
        else "Metric and Floor work through your HPA; for Direct delete it"
    )
    yield from _comment("Next:")
    for number, step in enumerate(
        (
            "decide the lines with DECIDE, and check the rest: leadtime doctor --manifests THIS-FILE",
            f"kubectl apply -f THIS-FILE, and a few minutes later: leadtime explain pa/{name}{where}",
            "what it would have done in the past: leadtime whatif --prometheus URL",
            f"when its advice convinces you, change mode. {floor}",
        ),
        start=1,
    ):
        yield from _comment(f"{number}. {step}")


def _field(key: str, value: Any, comment: str = "", *, indent: int | None = None) -> list[str]:
    """`key: value` under spec or metadata, with the comment behind its first line."""
    margin = " " * (2 if indent is None else indent)
    first, *rest = _yaml({key: value})
    return [f"{margin}{first} # {comment}" if comment else f"{margin}{first}", *(f"{margin}{line}" for line in rest)]


def _yaml(value: Any) -> Sequence[str]:
    return yaml.safe_dump(_plain(value), sort_keys=False, allow_unicode=True, width=10_000).splitlines()


def _plain(value: Any) -> Any:
    """Without the subclasses of dict that carry lines, and without YAML's anchors for what occurs twice."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _comment(text: str, *, indent: int = 0) -> list[str]:
    margin = " " * indent + "# "
    return textwrap.wrap(text, _WIDTH, initial_indent=margin, subsequent_indent=margin, break_long_words=False)
