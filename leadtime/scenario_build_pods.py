"""From the sections about pods to the simulator's values: start, owner, rollout, requests.

Raises BadInput for what only a preset, the profile or another section can tell to be wrong.
"""

import math
from dataclasses import replace
from typing import Any

from leadtime.scenario_pods import OwnerSection, PodSection, ProbeSection, RolloutSection, StartSection
from policies.capacity.profile import Profile
from policies.errors import BadInput
from simulations.calibration.profile_file import read_profile
from simulations.cluster.pod_policy import GPU_TAINT, PodPolicy
from simulations.cluster.resources import GIB, PodResources
from simulations.fleet.blue_green import BlueGreen
from simulations.fleet.canary import Canary
from simulations.fleet.rolling_update import RollingUpdate
from simulations.fleet.rollout import Rollout, Strategy
from simulations.fleet.routed_canary import RoutedCanary
from simulations.lead_time import Stage
from simulations.scenario import Termination, Workload
from simulations.start.model_load import KeptBy
from simulations.start.presets import preset_named
from simulations.start.probes import Probe, Probes
from simulations.start.staged_start import StagedStart
from simulations.start.transfer import NO_TIME, Span, Transfer

_BYTES_PER_MBYTE, _BYTES_PER_GBYTE = 1e6, 1e9


def start_of(section: StartSection) -> StagedStart:
    """The preset, or the defaults of a staged start, with what the section says."""
    base = StagedStart() if section.preset is None else preset_named(section.preset).start
    changes: dict[str, Any] = {
        stage: Stage(seconds, section.sigma)
        for stage in ("scheduling", "volume", "pull", "container", "download", "read", "warm_up")
        if (seconds := getattr(section, f"{stage}_seconds")) is not None
    }
    if section.image_gbytes is not None:
        changes["pull"] = _transfer(section.image_gbytes, section.pull_mbytes_per_second, section.sigma)
    if section.model_gbytes is not None:
        changes["read"] = _transfer(section.model_gbytes, section.read_mbytes_per_second, section.sigma)
        rate = section.download_mbytes_per_second
        changes["download"] = NO_TIME if rate is None else _transfer(section.model_gbytes, rate, section.sigma)
    for name in ("is_image_preloaded", "is_model_preloaded", "reread_speed"):
        if getattr(section, name) is not None:
            changes[name] = getattr(section, name)
    if section.kept_by is not None:
        changes["kept_by"] = KeptBy(section.kept_by)
    probes = {
        name: _probe(getattr(section, name)) if getattr(section, name) is not None else getattr(base.probes, name)
        for name in ("readiness", "liveness", "startup")
    }
    try:
        return replace(base, probes=Probes(**probes), **changes)
    except BadInput as error:
        raise BadInput(f"start.{error}") from None


def workload_of(section: OwnerSection) -> Workload:
    """The pods' owner."""
    grace = section.termination_grace_period_seconds
    return Workload(
        kind=section.kind,
        pod_management_policy=section.pod_management_policy,
        has_volumes=section.has_volumes,
        retains_volumes=section.retains_volumes,
        termination=Termination(
            grace_period_seconds=math.inf if grace is None else grace, pre_stop_seconds=section.pre_stop_seconds
        ),
        pod_deletion_cost=section.pod_deletion_cost,
    )


def rollout_of(section: RolloutSection | None, owner: OwnerSection, profile: Profile) -> Rollout | None:
    """The rollout; a StatefulSet's is not simulated."""
    if section is None:
        return None
    if owner.kind == "StatefulSet":
        raise BadInput(
            "rollout: was given with workload.kind StatefulSet, must be null: only a Deployment's rollouts are "
            "simulated; leave it out or set workload.kind: Deployment"
        )
    new = None if section.profile is None else read_profile(section.profile)
    rollout = Rollout(at_seconds=60 * section.at_minutes, strategy=_strategy(section), profile=new)
    rollout.check(profile)
    return rollout


def pod_of(section: PodSection, profile: Profile) -> tuple[PodResources | None, PodPolicy]:
    """What it requests, None for GPUs alone; and how it may be placed and moved."""
    asks = section.cpu or section.memory_gib or section.ephemeral_gib or section.gpu_share > 1
    resources = PodResources(
        gpus=profile.gpus_per_replica,
        gpu_share=section.gpu_share,
        cpu_milli=round(1_000 * section.cpu),
        memory_bytes=round(section.memory_gib * GIB),
        ephemeral_bytes=round(section.ephemeral_gib * GIB),
    )
    policy = PodPolicy(tolerations=(GPU_TAINT, *section.tolerations), safe_to_evict=section.safe_to_evict)
    return (resources if asks else None), policy


def _transfer(gbytes: float, mbytes_per_second: float, sigma: float) -> Span:
    return Transfer(gbytes * _BYTES_PER_GBYTE, mbytes_per_second * _BYTES_PER_MBYTE, sigma)


def _probe(section: ProbeSection) -> Probe:
    return Probe(**section.model_dump())


def _strategy(section: RolloutSection) -> Strategy:
    """With each strategy's own defaults for what is null."""

    def given(*names: str) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(section, name)) is not None}

    try:
        if section.strategy == "blue-green":
            return BlueGreen(**given("scale_down_delay_seconds"))
        if section.strategy == "canary":
            fields = given("pause_seconds", "min_attainment", "scale_down_delay_seconds")
            if section.weights_percent is not None:
                fields["weights_percent"] = tuple(section.weights_percent)
            return RoutedCanary(**fields) if section.traffic_routing else Canary(**fields)
        fields = given("max_surge", "max_unavailable", "progress_deadline_seconds")
        return RollingUpdate(
            **{
                name: int(value) if str(value).isdigit() and name.startswith("max") else value
                for name, value in fields.items()
            }
        )
    except BadInput as error:
        raise BadInput(f"rollout.{error}") from None
