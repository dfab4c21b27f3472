"""What `leadtime frontier` runs: the demands as counts on disk, and a cell for each demand, lead time and setting."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leadtime.frontier_ranges import settings
from policies.capacity.profile import Profile
from policies.capacity.sustained import sustained_batch
from policies.errors import BadInput
from simulations.counts.capacity import initial_replicas, keep_for_peak, kept, needed_replicas, peak_replicas
from simulations.counts.clairvoyant import plan_settings
from simulations.counts.demand_counts import BIN_SECONDS, Counts, count
from simulations.counts.serving_curve import serving_curve
from simulations.demand.text import demand_from
from simulations.demand.transformations import sliced
from simulations.slo import SLO
from simulations.sweep.cells import Cell
from simulations.trace import Demand

DAY_SECONDS = 86_400
CLAIRVOYANT = "clairvoyant"
_CALENDAR_QUANTILES = (0.5, 0.75, 0.9, 1.0)
_HOUR_BINS = 3_600 // BIN_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What holds for all cells. price: US dollars per GPU-hour. days: of each demand at most; None for all of it."""

    profile: Profile
    slo: SLO
    train_days: float
    days: float | None
    peak_replicas: float
    max_replicas: int | None
    settings: int
    seed: int
    is_quick: bool


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CountedDemand:
    """A demand as counts, kept at `path`, and its serving curve. has_whole_days: a calendar can be learned in training.

    keep: share of the requests. train_bins: those that settings are chosen on. peak: replicas that it needs there.
    """

    source: str
    phase_seed: int
    keep: float
    path: Path
    curve: Path
    counts: Counts
    train_bins: int
    peak: float

    @property
    def has_whole_days(self) -> bool:
        return self.train_bins * BIN_SECONDS >= DAY_SECONDS

    @property
    def label(self) -> str:
        return f"{self.counts.name}, phase {self.phase_seed}"


def counted(
    source: str, phase_seed: int, task: Task, folder: Path, on_seconds: Callable[[str, float, float], None]
) -> CountedDemand:
    """Count a demand thinned to its peak, or read what was counted before. Raises BadInput.

    on_seconds: told what is being done, how many seconds of the demand are done, and of how many.
    """
    key = _key(source, phase_seed, task)
    path, note, curve = folder / f"{key}.npz", folder / f"{key}.json", folder / f"{key}.{_slo_key(task.slo)}.curve.npz"
    try:
        counts, keep = Counts.load(path), float(json.loads(note.read_text(encoding="utf-8"))["keep"])
    except (OSError, ValueError, KeyError):
        demand = _cut(source, phase_seed, task)
        total = demand.duration_seconds
        keep = keep_for_peak(
            demand,
            task.peak_replicas,
            task.profile,
            task.slo.tpot_seconds,
            seed=phase_seed,
            on_seconds=lambda done: on_seconds("finding its peak", done, total),
        )
        counts = count(kept(demand, keep, phase_seed), lambda done: on_seconds("counting", done, total))
        counts.save(path)
        note.write_text(json.dumps({"source": source, "phase_seed": phase_seed, "keep": keep}), encoding="utf-8")
    if not curve.is_file():
        on_seconds("measuring its serving curve", 0.0, counts.duration_seconds)
        serving_curve(counts, task.profile, task.slo).save(curve)
    return CountedDemand(
        source=source,
        phase_seed=phase_seed,
        keep=keep,
        path=path,
        curve=curve,
        counts=counts,
        train_bins=train_bins(counts.bins, task.train_days),
        peak=peak_replicas(counts, task.profile, task.slo.tpot_seconds),
    )


def thinned_demand(each: CountedDemand, task: Task) -> Demand:
    """The requests that were counted."""
    return kept(_cut(each.source, each.phase_seed, task), each.keep, each.phase_seed)


def train_bins(bins: int, train_days: float) -> int:
    """Bins of the training part; half of a demand that is shorter than two days, or than train_days and an hour."""
    wanted = int(train_days * DAY_SECONDS / BIN_SECONDS)
    if bins * BIN_SECONDS < 2 * DAY_SECONDS or wanted + _HOUR_BINS > bins:
        return bins // 2
    return wanted


def cells(each: CountedDemand, lead_seconds: float, policies: Sequence[str], task: Task, code: str) -> Iterator[Cell]:
    """A cell for each setting of each policy, and the clairvoyant's."""
    common = common_content(each, lead_seconds, task, code)
    units = _units(each, lead_seconds, task)
    for name in policies:
        if name == "schedule" and not each.has_whole_days:
            continue
        for number, values in enumerate(settings(name, task.settings, units)):
            calendar = {"windows": _calendar(each, task, number)} if name == "schedule" else {}
            yield Cell.of({**common, "policy": name, "parameters": {**values, **calendar}})
    for plan in plan_settings(each.counts, task.profile, is_quick=task.is_quick):
        yield Cell.of({**common, "policy": CLAIRVOYANT, "parameters": asdict(plan)})


def common_content(each: CountedDemand, lead_seconds: float, task: Task, code: str) -> dict[str, Any]:
    """What the cells of one demand and lead time share."""
    return {
        "counts": str(each.path),
        "curve": str(each.curve),
        "train_bins": each.train_bins,
        "profile": task.profile.name,
        "slo": asdict(task.slo),
        "lead_seconds": lead_seconds,
        "initial_replicas": initial_replicas(each.counts, task.profile, task.slo.tpot_seconds),
        "max_replicas": max_replicas(each, task),
        "seed": task.seed,
        "code": code,
    }


def max_replicas(each: CountedDemand, task: Task) -> int:
    """As given, else 4 times the peak's need: no policy is to be held by it."""
    return task.max_replicas or math.ceil(4 * each.peak)


def not_applicable(each: CountedDemand, policies: Sequence[str]) -> dict[str, str]:
    """Policies that this demand says nothing about, and why."""
    if "schedule" in policies and not each.has_whole_days:
        hours = each.train_bins * BIN_SECONDS / 3_600
        return {"schedule": f"its calendar needs a day of training, the training part has {hours:.1f} h"}
    return {}


def _cut(source: str, phase_seed: int, task: Task) -> Demand:
    demand = demand_from(source, seed=phase_seed)
    if demand.duration_seconds < 2 * BIN_SECONDS:
        raise BadInput(
            f"demand: {source} lasts {demand.duration_seconds:g} s, must be at least {2 * BIN_SECONDS} s; give a "
            "longer recording"
        )
    return demand if task.days is None else sliced(demand, 0.0, task.days * DAY_SECONDS)


def _units(each: CountedDemand, lead_seconds: float, task: Task) -> Mapping[str, float]:
    """What the ranges' bounds are multiples of: see `frontier_ranges.UNITS`."""
    counts, profile = each.counts, task.profile
    requests = float(counts.requests.sum())
    batch = sustained_batch(
        profile,
        prompt_tokens=float(counts.prompt_tokens.sum()) / requests,
        output_tokens=float(counts.output_tokens.sum()) / requests,
        tpot_seconds=task.slo.tpot_seconds,
    )
    return {
        "batch": max(batch, 1.0),
        "peak": max(each.peak, 1.0),
        "lead": lead_seconds,
        "ttft": task.slo.ttft_seconds,
        "tpot": task.slo.tpot_seconds,
        "prefill": 1.0 / profile.per_prefill_token_seconds,
        "kv": float(profile.kv_tokens),
    }


def _calendar(each: CountedDemand, task: Task, number: int) -> str:
    """A window for each hour of the day: a quantile of what the training days needed in it, by quarters of an hour."""
    level = _CALENDAR_QUANTILES[number % len(_CALENDAR_QUANTILES)]
    quarter = _HOUR_BINS // 4
    need = needed_replicas(each.counts, task.profile, task.slo.tpot_seconds)[: each.train_bins]
    quarters = need[: len(need) // quarter * quarter].reshape(-1, quarter).mean(axis=1)
    start = each.counts.start_ns // 10**9 % DAY_SECONDS
    hours = ((start + np.arange(len(quarters)) * quarter * BIN_SECONDS) // 3_600 % 24).astype(int)
    windows = []
    for hour in range(24):
        replicas = math.ceil(float(np.quantile(quarters[hours == hour], level)))
        windows.append(f"0 {hour} * * * -> 0 {(hour + 1) % 24} * * * = {replicas}")
    return "; ".join(windows)


def _slo_key(slo: SLO) -> str:
    return f"{slo.ttft_seconds:g}-{slo.tpot_seconds:g}"


def _key(source: str, phase_seed: int, task: Task) -> str:
    """Of all that counts depend on, the files' times included."""
    stamps = []
    for name in (source, f"{source}-rates.csv.gz", f"{source}-lengths.csv.gz"):
        try:
            stamps.append(Path(name).stat().st_mtime_ns)
        except (OSError, ValueError):
            stamps.append(0)
    content = [source, stamps, phase_seed, task.days, task.peak_replicas, task.profile.name, task.slo.tpot_seconds]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]
