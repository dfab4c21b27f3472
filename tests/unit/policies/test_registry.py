"""The one list of policies, and configuring one from what a person typed."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import pytest

from leadtime.policies import as_text
from policies import baselines
from policies.capacity.profile import PROFILES
from policies.entry import PolicyEntry, parameter, parameters
from policies.errors import BadInput
from policies.policy import Policy
from policies.registry import ENTRIES, configured, named, required

REQUIRED = {"profile": "llama-3.1-8b-fp8-l4", "tpot_seconds": "0.075"}


def needed(entry: PolicyEntry) -> dict[str, str]:
    return {name: REQUIRED[name] for name in required(entry)}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_says_what_it_is(name: str) -> None:
    entry = ENTRIES[name]
    assert entry.name == name
    assert name == name.lower()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert entry.summary
    assert "\n" not in entry.summary
    assert entry.source
    for each in parameters(entry):
        assert each.unit, f"{name}.{each.name} has no unit"
        assert each.help, f"{name}.{each.name} has no help"


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_runs_with_its_defaults_and_the_little_that_must_be_given(name: str) -> None:
    policy = configured(name, needed(ENTRIES[name]))
    assert isinstance(policy, Policy)
    assert policy.name == name
    assert policy.period_seconds >= 1
    assert policy.scrape_seconds >= 1


@pytest.mark.parametrize("name", ENTRIES)
def test_a_default_typed_back_configures_the_same_policy(name: str) -> None:
    """What `leadtime policies` prints can be typed: the list is not only for reading."""
    entry = ENTRIES[name]
    plain = configured(name, needed(entry))
    for each in parameters(entry):
        if each.name in required(entry):
            continue
        try:
            typed = configured(name, {**needed(entry), each.name: as_text(each.default)})
        except BadInput as error:
            assert "cannot be set in text" in str(error), f"{name}.{each.name}"  # noqa: PT017 - most do not raise
            continue
        assert typed == plain, f"{name}.{each.name}"


@pytest.mark.parametrize("name", ENTRIES)
def test_the_knob_can_be_typed_and_changes_the_policy(name: str) -> None:
    entry = ENTRIES[name]
    knob = next(each for each in parameters(entry) if each.name == entry.knob)
    assert isinstance(knob.default, int | float)
    typed = as_text(type(knob.default)(knob.default * 0.75))
    assert configured(name, {**needed(entry), entry.knob: typed}) != configured(name, needed(entry))


def test_no_policy_of_the_baselines_is_forgotten() -> None:
    listed = {id(entry) for entry in ENTRIES.values()}
    for found in pkgutil.iter_modules(baselines.__path__):
        module = importlib.import_module(f"{baselines.__name__}.{found.name}")
        for entry in (*getattr(module, "ENTRIES", ()), *filter(None, [getattr(module, "ENTRY", None)])):
            assert id(entry) in listed, f"{found.name}: {entry.name} is not in the registry"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hpa-que", "policy: was 'hpa-que', did you mean hpa-queue"),
        ("Leadtime", "policy: was 'Leadtime', did you mean leadtime"),
        ("zzz", "policy: was 'zzz', must be one of leadtime, hpa, "),
        ("", "policy: was '', must be one of leadtime, hpa, "),
    ],
)
def test_an_unknown_policy_names_the_nearest(name: str, message: str) -> None:
    with pytest.raises(BadInput) as error:
        named(name)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("static", {"replica": "3"}, "static.replica: unknown parameter; did you mean replicas?"),
        ("static", {"xyz": "3"}, "static.xyz: unknown parameter; must be one of replicas"),
        ("static", {"replicas": "3.5"}, "static.replicas: was '3.5', must be a whole number"),
        ("static", {"replicas": ""}, "static.replicas: was '', must be a whole number"),
        ("static", {"replicas": "0"}, "static: replicas: was 0, must be in [1, "),
        ("hpa-queue", {"target_requests": "many"}, "hpa-queue.target_requests: was 'many', must be a number"),
        ("hpa-queue", {"target_requests": "nan"}, "hpa-queue.target_requests: was 'nan', must be a finite number"),
        ("hpa-queue", {"min-replicas": "2"}, "hpa-queue.min-replicas: unknown parameter; did you mean min_replicas?"),
        ("hpa-queue", {"min_replicas": "9", "max_replicas": "8"}, "hpa-queue: minReplicas: was 9"),
        ("hpa", {"metric_type": "Pod"}, "hpa.metric_type: was 'Pod', must be one of Pods, External"),
        ("leadtime", {}, "leadtime.profile: was not given (latency profile of model and GPU"),
        ("leadtime", {"profile": "h100"}, "leadtime.profile: profile: was 'h100', must be one of llama"),
        ("leadtime", {**REQUIRED, "attainment": "2"}, "leadtime: attainment: was 2.0, must be in [0.5, 0.9999]"),
    ],
)
def test_what_cannot_be_is_named(name: str, values: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput) as error:
        configured(name, values)
    assert message in str(error.value)


def test_a_profile_is_given_by_its_name() -> None:
    policy = configured("leadtime", {**REQUIRED, "max_replicas": "7"})
    assert policy.spec.profile is PROFILES["llama-3.1-8b-fp8-l4"]
    assert policy.spec.max_replicas == 7


@dataclass(frozen=True, slots=True, kw_only=True)
class EverySpec:
    flag: bool = parameter("truth", "a flag", False)
    maybe: int | None = parameter("s", "perhaps", 3)
    weights: tuple[float, ...] = parameter("shares", "several numbers", (0.5, 0.5))
    words: tuple[str, ...] = parameter("words", "several texts", ("a",))
    mode: Literal["up", "down"] = parameter("mode", "one of two", "up")
    inner: Mapping[str, int] = parameter("table", "not for text", default_factory=dict)
    count: int = parameter("things", "how many", 1)


def build(spec: EverySpec) -> Policy[EverySpec, None]:
    return replace(configured("static", {}), spec=spec)


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        ({"flag": "true"}, "flag", True),
        ({"flag": "False"}, "flag", False),
        ({"maybe": "none"}, "maybe", None),
        ({"maybe": " 4 "}, "maybe", 4),
        ({"weights": "1, 2.5,"}, "weights", (1.0, 2.5)),
        ({"weights": "1;2.5"}, "weights", (1.0, 2.5)),
        ({"weights": ""}, "weights", ()),
        ({"words": "0 8 * * 1,3; b"}, "words", ("0 8 * * 1,3", "b")),
        ({"mode": "down"}, "mode", "down"),
    ],
)
def test_text_of_every_type(monkeypatch: pytest.MonkeyPatch, typed: dict[str, str], field: str, value: Any) -> None:
    entry = PolicyEntry(name="every", summary="s", source="s", spec=EverySpec, knob="count", build=build)
    monkeypatch.setitem(ENTRIES, "every", entry)
    spec = configured("every", typed).spec
    for each in fields(EverySpec):
        got, plain = getattr(spec, each.name), getattr(EverySpec(), each.name)
        assert got == (value if each.name == field else plain)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"flag": "yes"}, "every.flag: was 'yes', must be one of true, false"),
        ({"weights": "1,x"}, "every.weights: was 'x', must be a number"),
        ({"inner": "{}"}, "every.inner: cannot be set in text; leave it at its default"),
        ({"count": "9" * 5000}, "every.count: was "),
    ],
)
def test_text_that_is_not_of_the_type(monkeypatch: pytest.MonkeyPatch, typed: dict[str, str], message: str) -> None:
    entry = PolicyEntry(name="every", summary="s", source="s", spec=EverySpec, knob="count", build=build)
    monkeypatch.setitem(ENTRIES, "every", entry)
    with pytest.raises(BadInput) as error:
        configured("every", typed)
    assert message in str(error.value)
