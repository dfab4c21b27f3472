"""What all workloads of a pool will need together by the time a node asked for now is ready.

Their peaks do not coincide: the sum of what each may need at its own peak is more than the sum ever is. So the sum of
the needs is kept as one history, and its own past says how far it climbs:

    peak(t)  = need(t) + max(0, peak(t - step) - need(t)) x exp(-step / FADE)         falls towards the need
    climb(t) = max of need over (t, t + horizon] / peak(t)                            known a horizon later
    ahead    = max(need, peak x the asked quantile of the climbs of the last day)

The quantile of ratios that were really seen is calibrated by itself as long as tomorrow is as restless as today: with
the quantile 0.95, 5 % of moments are followed by more within the horizon.
"""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND

STEP_SECONDS = 30
KEPT_STEPS = 86_400 // STEP_SECONDS
FADE_SECONDS = 900.0
LEAST_SECONDS = 3_600
"""A shorter history says nothing of climbs: then the peak itself is what is ahead."""

F4 = NDArray[np.float32]
_FADE = math.exp(-STEP_SECONDS / FADE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeedHistory:
    """The needs of the last day at steps of 30 s, in GPUs; the largest one counts within a step.

    last_step: counted from the Unix epoch; -1 before the first. needs, peaks: float32 of shape (steps,), NaN where
    nothing was known. 23 kB a pool.
    """

    last_step: int = -1
    needs: F4 = field(default_factory=lambda: np.empty(0, np.float32))
    peaks: F4 = field(default_factory=lambda: np.empty(0, np.float32))

    def seen(self, now_ns: int, need_gpus: float | None) -> Self:
        """Add what is needed now; None (unknown) and instants before the last step change nothing."""
        step = now_ns // (STEP_SECONDS * NS_PER_SECOND)
        if need_gpus is None or not 0.0 <= need_gpus < math.inf or step < self.last_step:
            return self
        before, needs, peaks = float(need_gpus), self.needs, self.peaks
        missed = step - self.last_step - 1
        if len(peaks):
            before = float(peaks[-1])
        if len(peaks) and step == self.last_step:
            need_gpus = max(need_gpus, float(needs[-1]))
            before = float(peaks[-2]) if len(peaks) > 1 and not math.isnan(peaks[-2]) else before
            needs, peaks, missed = needs[:-1], peaks[:-1], 0
        elif not len(peaks) or missed >= KEPT_STEPS:
            needs, peaks, missed = needs[:0], peaks[:0], 0
        unknown = np.full(missed, np.nan, np.float32)
        peak = need_gpus + max(0.0, before - need_gpus) * _FADE ** (missed + 1)
        return type(self)(
            last_step=step,
            needs=np.concatenate([needs, unknown, np.array([need_gpus], np.float32)])[-KEPT_STEPS:],
            peaks=np.concatenate([peaks, unknown, np.array([peak], np.float32)])[-KEPT_STEPS:],
        )


def need_ahead(history: NeedHistory, horizon_seconds: float, quantile: float) -> float | None:
    """GPUs that will do until `horizon_seconds` from now, with probability `quantile`; None when nothing was seen.

    quantile: in [0.5, 0.999]. Raises BadInput.
    """
    if not 0.5 <= quantile <= 0.999:
        raise BadInput(f"quantile: was {quantile}, must be in [0.5, 0.999]; 0.95 lets 5 % of climbs come as a surprise")
    if not len(history.needs):
        return None
    need, peak = float(history.needs[-1]), float(history.peaks[-1])
    climbs = _climbs(history, max(1, math.ceil(horizon_seconds / STEP_SECONDS)))
    if len(climbs) * STEP_SECONDS < LEAST_SECONDS:
        return max(need, peak)
    return max(need, peak * float(np.quantile(climbs, quantile)))


def _climbs(history: NeedHistory, horizon_steps: int) -> F4:
    """climb(t) of each known t whose horizon is over and known as well; shape (those,)."""
    if len(history.needs) <= horizon_steps:
        return np.empty(0, np.float32)
    ahead = np.lib.stride_tricks.sliding_window_view(history.needs[1:], horizon_steps).max(axis=1)
    peaks = history.peaks[: len(ahead)]
    known = ~np.isnan(ahead) & (peaks > 0)  # NaN peaks fail the comparison
    return np.asarray(ahead[known] / peaks[known], np.float32)
