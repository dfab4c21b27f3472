"""A scenario's demand section as requests: scaled, cut to its minutes, thinned and warped.

A process keeps the last few demands that it has read: a sweep's worker reads each once.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from leadtime.scenario_sections import DemandSection
from policies.errors import BadInput
from simulations.demand.columns import Columns, concatenated
from simulations.demand.rows import Skipped
from simulations.demand.servegen import is_servegen
from simulations.demand.text import demand_from
from simulations.results.collector import MOST_KEPT_REQUESTS
from simulations.trace import Demand

_KEPT_DEMANDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class ReadDemand:
    """A demand, and what people should know about how it was read."""

    demand: Demand
    notes: tuple[str, ...]


def has_phases(section: DemandSection) -> bool:
    """Whether it is drawn from ServeGen's tables of rates, with a phase for each client."""
    return section.source.startswith("servegen:") or is_servegen(Path(section.source))


def read_demand(section: DemandSection, phase_seed: int | None) -> ReadDemand:
    """The requests. phase_seed: goes before the section's seed where clients have phases. Raises BadInput."""
    seed = section.seed if phase_seed is None or not has_phases(section) else phase_seed
    return _read(section, seed, _stamp(section.source))


@lru_cache(maxsize=_KEPT_DEMANDS)
def _read(section: DemandSection, seed: int, _stamp: tuple[int, ...]) -> ReadDemand:
    """_stamp: of the files, so that one which has changed is read anew."""
    skipped: list[Skipped] = []
    demand = demand_from(
        section.source,
        seed=seed,
        start_seconds=60 * section.start_minutes,
        seconds=None if section.minutes is None else 60 * section.minutes,
        rate_factor=section.scale_rate,
        keep=section.thin,
        time_factor=section.time_warp,
        skip_bad_rows=section.skip_bad_rows,
        on_skipped=skipped.append,
    )
    notes = tuple(f"{section.source}: {each}" for each in skipped)
    return ReadDemand(_kept(demand, section), notes)


def _kept(demand: Demand, section: DemandSection) -> Demand:
    """As one trace where it fits into memory, so that no run need draw or cut it anew. Raises BadInput if empty."""
    if demand.expected_requests > MOST_KEPT_REQUESTS:
        return demand
    pieces = list(demand.pieces())
    if not pieces:
        raise BadInput(
            f"demand: {section.source} has no request from minute {section.start_minutes:g} on within "
            f"{'its end' if section.minutes is None else f'{section.minutes:g} minutes'}; choose another part or thin "
            "less"
        )
    columns = Columns.of(pieces)
    whole = concatenated([columns.complete(piece) for piece in pieces])
    return replace(whole, start_ns=demand.start_ns, ends_seconds=demand.duration_seconds)


def _stamp(source: str) -> tuple[int, ...]:
    """When the files that a demand's text names were changed last."""
    names = [name for part in source.split(" + ") for name in (part, f"{part}-rates.csv.gz", f"{part}-lengths.csv.gz")]
    return tuple(stamp for name in names if (stamp := _changed_ns(name)) is not None)


def _changed_ns(name: str) -> int | None:
    try:
        return Path(name).stat().st_mtime_ns
    except (OSError, ValueError):  # a generator's text is no file
        return None
