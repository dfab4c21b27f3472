"""The kinds of demand that people can name, with their parameters: units, defaults, what they mean."""

from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields
from typing import Any

from policies.entry import Parameter
from simulations.demand.generator_specs import (
    BatchSpec,
    DiurnalSpec,
    FlashCrowdSpec,
    GammaSpec,
    PoissonSpec,
    RampSpec,
    SessionsSpec,
    StepSpec,
    UsersSpec,
)
from simulations.demand.source_specs import PrometheusSpec, ServegenSpec
from simulations.trace import Demand


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandKind:
    """One line of the help: `name:key=value,...`. spec: a frozen dataclass whose fields were made with `parameter`."""

    name: str
    summary: str
    spec: type[Any]
    build: Callable[[Any], Demand]

    def parameters(self) -> tuple[Parameter, ...]:
        """In the order of the spec; default: None where it must be given."""
        return tuple(
            Parameter(
                name=each.name,
                unit=each.metadata["unit"],
                default=None if each.default is MISSING else each.default,
                help=each.metadata["help"],
            )
            for each in fields(self.spec)
        )


def _kinds(rows: Iterable[tuple[str, str, type[Any]]]) -> dict[str, DemandKind]:
    return {name: DemandKind(name=name, summary=summary, spec=spec, build=spec.build) for name, summary, spec in rows}


DEMAND_KINDS = _kinds(
    (
        ("poisson", "a constant rate", PoissonSpec),
        ("gamma", "a constant rate in bursts", GammaSpec),
        ("ramp", "a rate that rises or falls evenly", RampSpec),
        ("step", "a rate that jumps", StepSpec),
        ("flash-crowd", "a rate that rises, holds and decays", FlashCrowdSpec),
        ("diurnal", "days, and weeks, that rise and fall", DiurnalSpec),
        ("sessions", "conversations of several turns that repeat their history", SessionsSpec),
        ("users", "closed-loop users with a spawn rate, as Locust's", UsersSpec),
        ("batch", "jobs of many requests with a deadline, served last", BatchSpec),
        ("servegen", "production clients from ServeGen's tables", ServegenSpec),
        ("prometheus", "the request rate that a Prometheus server has seen", PrometheusSpec),
    )
)
"""Name -> kind, in the order in which they are listed."""
