"""From a checked scenario file to what the simulator runs. Everything that the two have in common is here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from leadtime.policy_text import policy_from
from leadtime.scenario_build_cluster import pool_of_nodes, pools_of, rules_of
from leadtime.scenario_build_pods import pod_of, rollout_of, start_of, workload_of
from leadtime.scenario_demand import has_phases, read_demand
from leadtime.scenario_file import ScenarioFile
from leadtime.scenario_sections import DemandSection, RouterSection, WorkloadSection
from leadtime.scenario_servers import ServerSection, check_around, server_of
from policies.capacity.profile import Profile
from policies.errors import BadInput
from policies.policy import Policy
from simulations.calibration.profile_file import read_profile
from simulations.cluster.node_pool import NodePool
from simulations.engine import Router
from simulations.lead_time import LeadTime
from simulations.scenario import Disaggregation, Failures, MetricFaults, Scenario, Serving, Timeouts
from simulations.server_kind import BatchedModel
from simulations.slo import SLO
from simulations.start.presets import preset_named
from simulations.start.staged_start import StagedStart
from simulations.trace import Demand

BYTES_PER_GBYTE = 1e9

_SIGNALS: dict[str, dict[str, float]] = {
    "queue-aware": {"queue": 1.0},
    "kv-aware": {"kv": 1.0},
    "prefix-aware": {"prefix": 1.0, "queue": 1.0, "kv": 1.0},
    "lora-aware": {"lora": 1.0, "queue": 1.0, "kv": 1.0},
}
"""What each router scores by. By the prefix alone, all who share one would go to the one server that has it."""


_OF_A_WORKLOAD = ("demand", "profile", "replicas", "slo", "router", "server", "start", "workload", "rollout", "pod")
"""Sections that a workload may have for itself."""

Part = tuple[Scenario, Policy[Any, Any]]
"""One workload with the policy that scales it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is simulated at once: one workload, or several on the same nodes.

    phase_seed: of demand drawn from tables; None for demand that has no phases.
    """

    parts: tuple[Part, ...]
    phase_seed: int | None


def runs_of(file: ScenarioFile) -> list[Run]:
    """Every policy on every phase. Raises BadInput, so that nothing is run before all of it is known to be right."""
    phases = phases_of(file)
    runs = []
    for phase_seed in phases:
        for text in _own_policies(file):
            run = run_of(file, text, phase_seed)
            if len(phases) > 1:
                named = [
                    (each, replace(policy, name=f"{policy.name} phase {phase_seed}")) for each, policy in run.parts
                ]
                run = replace(run, parts=tuple(named))
            runs.append(run)
    return runs


def run_of(file: ScenarioFile, policy: str, phase_seed: int | None) -> Run:
    """One policy on one phase. A workload's own policy goes before it. Raises BadInput."""
    if file.workloads is None:
        scenario = scenario_of(file, phase_seed)
        return Run(parts=((scenario, fitted_policy(policy, file, scenario)),), phase_seed=phase_seed)
    parts = []
    for workload in file.workloads:
        own = with_workload(file, workload)
        scenario = replace(scenario_of(own, phase_seed), name=workload.name)
        chosen = fitted_policy(workload.policy or policy, own, scenario)
        parts.append((scenario, replace(chosen, name=f"{chosen.name} on {workload.name}")))
    return Run(parts=tuple(parts), phase_seed=phase_seed)


def with_workload(file: ScenarioFile, workload: WorkloadSection) -> ScenarioFile:
    """The scenario as one of its workloads has it: what the workload leaves out is the scenario's."""
    given = {name: getattr(workload, name) for name in _OF_A_WORKLOAD}
    return file.model_copy(update={name: value for name, value in given.items() if value is not None})


def scenario_of(file: ScenarioFile, phase_seed: int | None) -> Scenario:
    """The scenario without its policies. Raises BadInput for what cannot be read or can never work."""
    profile = _served(profile_of(file.profile), file.server)
    server = server_of(file.server)
    check_around(server, router=file.router.policy, is_disaggregated=file.disaggregation is not None)
    demand = read_demand(file.demand, phase_seed).demand
    if not isinstance(server, BatchedModel):
        _check_some_request_fits(demand, profile)
    start = None if file.start is None else start_of(file.start)
    all_pools = _pools(file, profile)
    pools = _usable(all_pools, file, profile)
    resources, pod_policy = pod_of(file.pod, profile)
    return Scenario(
        trace=demand,
        profile=profile,
        slo=SLO(**file.slo.model_dump()),
        lead_time=_lead_time(file, start, pools),
        initial_replicas=file.replicas.initial,
        seed=file.seed,
        price_per_gpu_hour=file.price_per_gpu_hour,
        router=router_of(file.router),
        serving=Serving(**file.server.model_dump(include={each.name for each in fields(Serving)})),
        timeouts=Timeouts(
            gateway_seconds=_or_never(file.timeouts.gateway_seconds),
            client_seconds=_or_never(file.timeouts.client_seconds),
        ),
        failures=Failures(mtbf_seconds=3600 * _or_never(file.failures.mtbf_hours), retry=file.failures.retry),
        metrics=MetricFaults(**file.metrics.model_dump(exclude={"scrape_seconds"})),
        nodes=pools[0] if pools else None,
        disaggregation=_disaggregation(file),
        server=server,
        start=start,
        workload=workload_of(file.workload),
        rollout=rollout_of(file.rollout, file.workload, profile),
        resources=resources,
        fallback_pools=pools[1:],
        cluster=rules_of(file.cluster, all_pools),
        pod_policy=pod_policy,
        min_available=file.pod.min_available,
    )


def router_of(section: RouterSection) -> Router:
    """The engine's router: an aware one scores servers, by its own signals at weight 1 unless weights are given."""
    if section.policy in ("least-outstanding", "round-robin"):
        return Router(policy=section.policy, signal_interval_seconds=section.signal_interval_seconds)
    weights = _SIGNALS[section.policy] if section.weights is None else section.weights.model_dump()
    return Router(
        policy="scored",
        signal_interval_seconds=section.signal_interval_seconds,
        **{f"{signal}_weight": weight for signal, weight in weights.items()},
    )


def fitted_policy(text: str, file: ScenarioFile, scenario: Scenario) -> Policy[Any, Any]:
    """The policy of that text with the scenario's bounds and scrape interval. Raises BadInput."""
    policy = policy_from(text, scenario, file.replicas.max, file.replicas.min)
    if file.metrics.scrape_seconds is not None:
        policy = replace(policy, scrape_seconds=file.metrics.scrape_seconds)
    return policy


def phases_of(file: ScenarioFile) -> list[int | None]:
    """The phase seeds where demand is drawn from a table of rates, else just None."""
    return list(file.phase_seeds) if any(map(has_phases, _demands(file))) else [None]


def notes_of(file: ScenarioFile) -> list[str]:
    """What people should know about the demands as they were read."""
    phase_seed = phases_of(file)[0]
    return [note for section in _demands(file) for note in read_demand(section, phase_seed).notes]


def _demands(file: ScenarioFile) -> list[DemandSection]:
    """Every demand that is run, each once."""
    return list(dict.fromkeys(workload.demand or file.demand for workload in file.workloads or ())) or [file.demand]


def _own_policies(file: ScenarioFile) -> list[str]:
    """The policies to run one after the other; where every workload has its own, there is one run."""
    has_use = file.workloads is None or any(workload.policy is None for workload in file.workloads)
    return file.policies if has_use else file.policies[:1]


def profile_of(text: str) -> Profile:
    """A built-in profile's name, or a profile in YAML. Raises BadInput."""
    return read_profile(text)


def _served(profile: Profile, server: ServerSection) -> Profile:
    """The profile with the server's own flags."""
    return replace(
        profile,
        max_num_seqs=server.max_num_seqs or profile.max_num_seqs,
        max_num_batched_tokens=server.max_num_batched_tokens or profile.max_num_batched_tokens,
    )


def _or_never(value: float | None) -> float:
    return math.inf if value is None else value


def _pools(file: ScenarioFile, profile: Profile) -> tuple[NodePool, ...]:
    """Of the cluster, first choice first; empty where every pod has a node of its own."""
    sigma = file.lead_time.sigma
    if file.nodes is not None:
        return (pool_of_nodes(file.nodes, profile, sigma),)
    if file.pools is not None:
        return pools_of(file.pools, file.cluster, profile, file.start, sigma)
    preset = None if file.start is None else file.start.preset
    return () if preset is None else (preset_named(preset).pool,)


def _usable(pools: tuple[NodePool, ...], file: ScenarioFile, profile: Profile) -> tuple[NodePool, ...]:
    """Those where this workload's pods may run: of several workloads, each may use the pools of its own GPU."""
    if file.workloads is None or file.pools is None:
        return pools
    mine = tuple(pool for pool in pools if pool.gpu == profile.gpu)
    if not mine:
        raise BadInput(
            f"pools: have {', '.join(dict.fromkeys(pool.gpu for pool in pools))}, must have one with {profile.gpu}, "
            f"which profile {profile.name} is for; add a pool or choose another profile"
        )
    return mine


def _lead_time(file: ScenarioFile, start: StagedStart | None, pools: Sequence[NodePool]) -> LeadTime:
    """As given; of a staged start the medians, for whoever needs one number."""
    if start is None:
        return LeadTime(**file.lead_time.model_dump())
    return start.as_lead_time(max((pool.provision for pool in pools), key=lambda stage: stage.median_seconds))


def _disaggregation(file: ScenarioFile) -> Disaggregation | None:
    split = file.disaggregation
    if split is None:
        return None
    return Disaggregation(
        prefill_replicas=split.prefill_replicas,
        transfer_bytes_per_second=split.transfer_gbytes_per_second * BYTES_PER_GBYTE,
    )


def _check_some_request_fits(demand: Demand, profile: Profile) -> None:
    """Refuse a run in which every request would be: a server holds a whole request in its KV cache."""
    smallest = 0
    for piece in demand.pieces():
        needed = piece.prompt_tokens.astype("int64") + piece.output_tokens
        smallest = min(smallest or int(needed.min()), int(needed.min()))
        if smallest <= profile.kv_tokens:
            return
    raise BadInput(
        f"profile: was {profile.name} with {profile.kv_tokens:,} tokens of KV cache, must hold at least one request "
        f"of the demand, whose smallest has {smallest:,}; choose another GPU or more of them"
    )
