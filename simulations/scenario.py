"""What is simulated, except for the policy."""

from dataclasses import dataclass, field

from policies.capacity.profile import Profile
from simulations.fleet import Fleet, LeadTime
from simulations.slo import SLO
from simulations.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything about a run except the policy. Equal scenarios give equal runs."""

    trace: Trace
    profile: Profile
    slo: SLO = field(default_factory=SLO)
    lead_time: LeadTime = field(default_factory=LeadTime)
    initial_replicas: int = 6
    seed: int = 1
    price_per_gpu_hour: float = 0.71

    def fleet(self) -> Fleet:
        """A fresh fleet at second zero."""
        return Fleet(
            self.trace,
            self.profile,
            self.lead_time,
            initial_replicas=self.initial_replicas,
            seed=self.seed,
        )
