"""A scenario as people write it: a YAML file, any field of which a flag or a sweep may set instead.

text -> plain mappings that know their lines -> + overrides -> ScenarioFile, checked -> leadtime.scenario_build
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from leadtime.manifests.document import read_documents
from leadtime.scenario_cluster import ClusterSection, NodesSection, PoolSection
from leadtime.scenario_faults import first_fault
from leadtime.scenario_pods import OwnerSection, PodSection, RolloutSection, StartSection
from leadtime.scenario_sections import (
    SEED_MAX,
    DemandSection,
    DisaggregationSection,
    FailuresSection,
    LeadTimeSection,
    MetricsSection,
    ReplicasSection,
    RouterSection,
    Section,
    SLOSection,
    TimeoutsSection,
    WorkloadSection,
    with_demand_spelled_out,
)
from leadtime.scenario_servers import ServerSection
from policies.errors import BadInput

DEFAULT_PROFILE = "llama-3.1-8b-fp8-l4"
_WIDEST = 2**31
SCENARIO_SUFFIXES = (".yaml", ".yml")


class ScenarioFile(Section):
    """Everything about one or more runs."""

    demand: DemandSection
    """which requests arrive, and when"""
    profile: str = Field(default=DEFAULT_PROFILE, min_length=1)
    """model and GPU that are simulated: a built-in profile's name, or a profile in YAML"""
    policies: list[str] = Field(default=["leadtime"], min_length=1)
    """names from `leadtime policies`, with parameters as NAME:key=value,key=value, or manifests"""
    slo: SLOSection = SLOSection()
    """what a good request must keep"""
    replicas: ReplicasSection = ReplicasSection()
    """at the start, and the policies' bounds"""
    router: RouterSection = RouterSection()
    """which replica gets a request"""
    server: ServerSection = ServerSection()
    """which server answers in each replica, and how it is started"""
    timeouts: TimeoutsSection = TimeoutsSection()
    """when somebody stops waiting"""
    failures: FailuresSection = FailuresSection()
    """replicas that die"""
    metrics: MetricsSection = MetricsSection()
    """what lies between the servers and a policy"""
    lead_time: LeadTimeSection = LeadTimeSection()
    """from asking for a pod to serving with it"""
    nodes: NodesSection | None = None
    """the node pool that replicas share; null gives every pod a node of its own"""
    start: StartSection | None = None
    """a pod's start in stages, in place of lead_time"""
    workload: OwnerSection = OwnerSection()
    """what owns the pods, and how they end"""
    rollout: RolloutSection | None = None
    """of a new revision of the pods; null: none"""
    pod: PodSection = PodSection()
    """what a pod asks of its node"""
    pools: list[PoolSection] | None = Field(default=None, min_length=1)
    """several node pools in place of nodes, each the fallback of those before it"""
    cluster: ClusterSection = ClusterSection()
    """the node autoscaler, prices, quotas and stockouts: what holds for all pools"""
    disaggregation: DisaggregationSection | None = None
    """prefill and decode on servers of their own; null: on the same"""
    workloads: list[WorkloadSection] | None = Field(default=None, min_length=1)
    """several models on the same nodes; null: one"""
    price_per_gpu_hour: float = Field(default=0.71, ge=0, le=1_000)
    """US dollars; 0.71 is one L4 in g2-standard-4, on demand"""
    seed: int = Field(default=1, ge=0, le=SEED_MAX)
    """of the pods' lead times, failures and lost metrics"""
    phase_seeds: list[int] = Field(default=[1, 2], min_length=1)
    """demand drawn from tables is run once for each: what holds for one phase only is no result"""

    @model_validator(mode="before")
    @classmethod
    def _short_demand(cls, content: Any) -> Any:
        return with_demand_spelled_out(content)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for seed in self.phase_seeds:
            if not 0 <= seed <= SEED_MAX or self.phase_seeds.count(seed) > 1:
                raise BadInput(f"phase_seeds: was {self.phase_seeds}, must be different numbers in [0, {SEED_MAX}]")
        if any(not policy.strip() for policy in self.policies):
            raise BadInput(f"policies: was {self.policies}, must be names or paths; remove the empty one")
        names = [each.name for each in self.workloads or ()]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise BadInput(f"workloads: was {names}, must have names of their own; rename one {repeated[0]}")
        self._check_nodes()
        return self

    def _check_nodes(self) -> None:
        """What sections about pods and nodes ask of each other."""
        if self.nodes is not None and self.pools is not None:
            raise BadInput("nodes: was given with pools, must be one of them; move it into the list of pools")
        pools = [each.name for each in self.pools or ()]
        if repeated := [name for name in pools if pools.count(name) > 1]:
            raise BadInput(f"pools: was {pools}, must have names of their own; rename one {repeated[0]}")
        has_nodes = self.nodes is not None or self.pools is not None
        if self.workloads is not None and not has_nodes:
            raise BadInput("nodes: was null, must be a pool where there are workloads, which share it; set nodes: {}")
        if self.start is not None and self.lead_time != LeadTimeSection():
            raise BadInput("lead_time: was given with start, which takes its place; leave one of them out")
        if self.start is not None and self.start.preset is None and not has_nodes:
            raise BadInput(
                "nodes: was null, must be a pool where start is given in stages: the time of a node is its pool's; set "
                "nodes: {} or a preset"
            )


@dataclass(slots=True)
class ScenarioDraft:
    """A scenario before it is checked: the file's content, and what flags and sweeps have set since.

    path: the file, for messages; None where there is none. flags: field -> what a person typed to set it.
    """

    content: dict[str, Any]
    path: Path | None = None
    flags: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, argument: str) -> Self:
        """From a command's argument: a scenario in YAML, or any demand. Raises BadInput."""
        if Path(argument).suffix not in SCENARIO_SUFFIXES:
            return cls({"demand": {"source": argument}})
        path = Path(argument)
        if not path.is_file():
            raise BadInput(f"scenario: {path} does not exist; give a scenario in YAML, or a demand")
        documents = read_documents(path, "a mapping with demand, profile, policies and more")
        if len(documents) != 1:
            raise BadInput(f"{path}: holds {len(documents)} scenarios, must hold one")
        content = with_demand_spelled_out(documents[0].content)
        return cls(_beside(path.parent, content), path)

    def set(self, dotted: str, value: Any, flag: str | None = None) -> None:
        """Set one field, `replicas.max`; a section that is null or missing starts from its defaults.

        `demand` with a text sets demand.source, so that what else is said of the demand stays.
        """
        if dotted == "demand" and isinstance(value, str):
            dotted = "demand.source"
        target: Any = self.content
        *parents, last = dotted.split(".")
        for part in parents:
            inner = target[int(part)] if isinstance(target, list) and _is_index(part, target) else None
            if isinstance(target, dict):
                inner = target.get(part)
                if inner is None:
                    inner = target[part] = {}
            if not isinstance(inner, dict | list):
                raise BadInput(
                    f"{dotted}: {part} is not a section of the scenario; see --print-scenario for its fields"
                )
            target = inner
        if isinstance(target, list) and not _is_index(last, target):
            raise BadInput(f"{dotted}: was index {last}, must be in [0, {len(target) - 1}]")
        target[int(last) if isinstance(target, list) else last] = value
        if flag is not None:
            self.flags[dotted] = flag

    def with_set(self, values: Mapping[str, Any]) -> "ScenarioDraft":
        """A copy with these fields set, each by a --set."""
        draft = ScenarioDraft(copy.deepcopy(self.content), self.path, dict(self.flags))
        for dotted, value in values.items():
            draft.set(dotted, value, f"--set {dotted}")
        return draft

    def checked(self) -> ScenarioFile:
        """The scenario. Raises BadInput with the first fault: file, line, field, value, range."""
        try:
            return ScenarioFile.model_validate(self.content)
        except ValidationError as error:
            raise BadInput(first_fault(error, ScenarioFile, self.content, str(self.path or ""), self.flags)) from None


def scenario_yaml(scenario: ScenarioFile) -> str:
    """The whole scenario with its defaults, a line of meaning beside every field; reading it gives the same one."""
    lines: list[str] = []
    for name, info in ScenarioFile.model_fields.items():
        value = getattr(scenario, name)
        if isinstance(value, Section):
            lines += [f"{name}:  # {info.description}", *_section_lines(value, "  ")]
        else:
            lines += _field_lines(name, _plain(value), info.description, "")
    return "\n".join(lines) + "\n"


def _section_lines(section: Section, indent: str) -> list[str]:
    lines: list[str] = []
    for name, info in type(section).model_fields.items():
        lines += _field_lines(name, _plain(getattr(section, name)), info.description, indent)
    return lines


def _field_lines(name: str, value: Any, comment: str | None, indent: str) -> list[str]:
    text = yaml.dump(
        {name: value}, Dumper=_OneLine, sort_keys=False, allow_unicode=True, width=_WIDEST, default_flow_style=False
    )
    first, *rest = text.rstrip("\n").split("\n")
    return [f"{indent}{first}  # {comment}", *(indent + line for line in rest)]


class _OneLine(yaml.SafeDumper):
    """Writes a text with line breaks escaped in quotes, so that a comment may follow it on its line."""


def _text(dumper: _OneLine, value: str) -> yaml.ScalarNode:
    is_one_line = value.splitlines() in ([], [value])
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if is_one_line else '"')


_OneLine.add_representer(str, _text)


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _is_index(part: str, items: list[Any]) -> bool:
    return part.isdigit() and int(part) < len(items)


def _beside(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The content with the files that lie beside the scenario found from here; what is no such file stays as it is."""
    demand = content.get("demand")
    if isinstance(demand, dict) and isinstance(source := demand.get("source"), str):
        tables = folder / f"{source}-rates.csv.gz"
        demand["source"] = str(folder / source) if tables.is_file() else _found(folder, source)
    if isinstance(content.get("profile"), str):
        content["profile"] = _found(folder, content["profile"])
    if isinstance(content.get("policies"), list):
        content["policies"] = [_found(folder, each) if isinstance(each, str) else each for each in content["policies"]]
    cluster = content.get("cluster")
    if isinstance(cluster, dict) and isinstance(cluster.get("prices"), str):
        cluster["prices"] = _found(folder, cluster["prices"])
    rollout = content.get("rollout")
    if isinstance(rollout, dict) and isinstance(rollout.get("profile"), str):
        rollout["profile"] = _found(folder, rollout["profile"])
    workloads = content.get("workloads")
    for each in workloads if isinstance(workloads, list) else ():
        if isinstance(each, dict):
            each.update(_beside(folder, with_demand_spelled_out(each)))
    return content


def _found(folder: Path, text: str) -> str:
    try:
        return str(folder / text) if (folder / text).is_file() else text
    except (OSError, ValueError):  # a generator's text may be no file name at all
        return text
