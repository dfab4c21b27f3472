"""From a scenario and the points of a sweep to its rows, each with the cell that gives its figures."""

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from leadtime.policy_text import is_manifest, policy_name, with_parameters
from leadtime.scenario_build import phases_of
from leadtime.scenario_file import ScenarioDraft, ScenarioFile
from leadtime.sweep_task import code_fingerprint
from policies.errors import BadInput
from simulations.sweep.cells import Cell, one_line
from simulations.sweep.space import Point

_POLICY = "policy."


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """One line of the results. settings: the varied fields that matter to it.

    cell: None where the scenario itself is wrong; then `error` says how.
    """

    policy: str
    phase_seed: int | None
    settings: Mapping[str, Any]
    cell: Cell | None
    error: str | None = None


def plan(draft: ScenarioDraft, points: Iterable[Point]) -> list[PlannedRow]:
    """A row for each different cell, in the order of the points. Raises BadInput where no point can be run at all.

    A policy's parameters vary for that policy only: the others are run once for all of their values.
    """
    rows: dict[str, PlannedRow] = {}
    wrong: list[BadInput] = []
    for point in points:
        try:
            found = _rows_of(draft, point)
        except BadInput as error:
            wrong.append(error)
            found = [_wrong_row(draft, point, error)]
        for row in found:
            rows.setdefault(row.cell.key if row.cell else f"{dict(row.settings)} {row.error}", row)
    if wrong and all(row.cell is None for row in rows.values()):
        raise wrong[0]
    return list(rows.values())


def _wrong_row(draft: ScenarioDraft, point: Point, error: BadInput) -> PlannedRow:
    """One row for a point that cannot be run, whatever its policies' parameters are."""
    return PlannedRow(
        policy=", ".join(map(str, draft.content.get("policies", ()))),
        phase_seed=None,
        settings={field: value for field, value in point.items() if not field.startswith(_POLICY)},
        cell=None,
        error=one_line(str(error)),
    )


def _rows_of(draft: ScenarioDraft, point: Point) -> list[PlannedRow]:
    fields = {field: _listed(field, value) for field, value in point.items() if not field.startswith(_POLICY)}
    file = draft.with_set(fields).checked()
    parameters = _policy_parameters(point, file.policies)
    rows = []
    for text in file.policies:
        own = parameters.get(policy_name(text), {})
        configured = with_parameters(text, {name: _typed(value) for name, value in own.items()}) if own else text
        settings = {**fields, **{f"{_POLICY}{policy_name(text)}.{name}": value for name, value in own.items()}}
        for phase_seed in phases_of(file):
            cell = Cell.of(_content(file, configured, phase_seed))
            rows.append(PlannedRow(policy=configured, phase_seed=phase_seed, settings=settings, cell=cell))
    return rows


def _listed(field: str, value: Any) -> Any:
    """`--set policies=leadtime,hpa` is one policy after the other."""
    return [value] if field == "policies" and isinstance(value, str) else value


def _policy_parameters(point: Point, policies: list[str]) -> dict[str, dict[str, Any]]:
    """Policy -> parameter -> value, from the fields `policy.NAME.PARAMETER`."""
    names = [policy_name(text) for text in policies]
    found: dict[str, dict[str, Any]] = {}
    for field, value in point.items():
        if not field.startswith(_POLICY):
            continue
        name, dot, parameter = field.removeprefix(_POLICY).rpartition(".")
        if not dot or not parameter:
            raise BadInput(f"--set {field}: must be policy.NAME.PARAMETER, such as policy.{names[0]}.max_replicas")
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            raise BadInput(
                f"--set {field}: {name!r} is none of the scenario's policies; "
                + (f"did you mean {near[0]}?" if near else f"must be one of {', '.join(names)}; add it with --policy")
            )
        if is_manifest(name):
            raise BadInput(f"--set {field}: {name} is a manifest, which is taken as it stands; name a policy instead")
        found.setdefault(name, {})[parameter] = value
    return found


def _typed(value: Any) -> str:
    """A value as a person types it for a policy: the parts of a list lie between semicolons."""
    if isinstance(value, list):
        return ";".join(_typed(each) for each in value)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _content(file: ScenarioFile, policy: str, phase_seed: int | None) -> dict[str, Any]:
    """All that the figures depend on, the contents of files included."""
    named = [file.demand.source, *(f"{file.demand.source}-{part}.csv.gz" for part in ("rates", "lengths"))]
    for workload in file.workloads or ():
        named += [workload.profile or "", workload.policy or ""]
        if workload.demand is not None:
            source = workload.demand.source
            named += [source, f"{source}-rates.csv.gz", f"{source}-lengths.csv.gz"]
    named += [file.profile, policy]
    digests = {name: digest for name in sorted(set(named)) if (digest := _digest(name)) is not None}
    return {
        "scenario": file.model_dump(mode="json", exclude={"policies", "phase_seeds"}),
        "policy": policy,
        "phase_seed": phase_seed,
        "files": digests,
        "code": code_fingerprint(),
    }


@cache
def _digest(name: str) -> str | None:
    """Of a file's bytes; None where there is no such file."""
    try:
        with Path(name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # a generator's text may be no file name at all
        return None
