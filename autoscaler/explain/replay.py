"""Decides every logged decision again, by the same pure policy, and compares: equal to the last digit or not."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoscaler.cluster import Key
from autoscaler.crd.build import combined_spec
from autoscaler.crd.parse import parse_spec
from autoscaler.workload import without_scale_event
from policies.combined.decide import combined_policy
from policies.combined.spec import CombinedSpec
from policies.combined.state import CombinedState
from policies.combined.state_json import state_from_json
from policies.decision import Decision
from policies.errors import BadInput
from policies.json_values import from_json, to_json
from policies.policy import Running
from policies.snapshot_json import snapshot_from_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One logged decision and the same one made again.

    again: None where it cannot be made: the lines before it, with the spec and the state to begin from, are missing.
    """

    line: int
    key: Key
    at_ns: int
    logged: Decision
    again: Decision | None

    @property
    def differences(self) -> tuple[str, ...]:
        """`field: logged, decided again`; none where both are equal or it cannot be made again."""
        if self.again is None:
            return ()
        return tuple(_differences(to_json(self.logged), to_json(self.again)))


def replay(lines: Iterable[str | bytes]) -> Iterator[Replayed]:
    """Every logged decision, in the order of the log; lines that are none (the controller's others) are passed over.

    Raises BadInput with the line for one that claims to be a decision and cannot be read.
    """
    running: dict[Key, Running[CombinedSpec, CombinedState]] = {}
    specs: dict[Key, CombinedSpec] = {}
    for number, text in enumerate(lines, start=1):
        line = _line(text)
        if line is None:
            continue
        try:
            yield _again(line, number, specs, running)
        except KeyError as error:
            raise BadInput(
                f"line {number}: {error.args[0]} was missing; give the log as the controller wrote it"
            ) from error
        except BadInput as error:
            raise BadInput(f"line {number}: {error}") from error


def _again(
    line: Mapping[str, Any],
    number: int,
    specs: dict[Key, CombinedSpec],
    running: dict[Key, Running[CombinedSpec, CombinedState]],
) -> Replayed:
    key, at_ns = Key(line["namespace"], line["name"]), line["atNs"]
    if "spec" in line:
        specs[key] = combined_spec(parse_spec(line["spec"]))
        if (old := running.get(key)) is not None:
            running[key] = Running(combined_policy(specs[key]), old.state)
    if "state" in line and key in specs:
        running[key] = Running(combined_policy(specs[key]), state_from_json(line["state"]))
    snapshot = snapshot_from_json(line["snapshot"])
    logged, again = from_json(Decision, line["decision"], "decision"), None
    if (policy := running.get(key)) is not None:
        before = policy.state
        again = policy.step(snapshot, at_ns)
        if line.get("scaleEventTakenBack"):
            policy.state = without_scale_event(policy.state, before)
    return Replayed(line=number, key=key, at_ns=at_ns, logged=logged, again=again)


def _line(text: str | bytes) -> Mapping[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:  # also bytes that are no UTF-8: a line cut short by a crash
        return None
    return line if isinstance(line, dict) and "snapshot" in line and "decision" in line else None


def _differences(logged: Mapping[str, Any], again: Mapping[str, Any], where: str = "") -> Iterator[str]:
    for name in sorted(logged.keys() | again.keys()):
        was, now = logged.get(name), again.get(name)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from _differences(was, now, f"{where}{name}.")
        elif was != now:
            yield f"{where}{name}: {was} logged, {now} decided again"
