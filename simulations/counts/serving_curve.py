"""What the fluid cannot know: which share of requests meets the SLO at a given step time, and the tails of latencies.

Requests differ, and so do moments: at a mean TPOT below the target some miss it, and at one above it some do not. So
replicas of the full simulator serve the demand's own requests (its sample) at steady rates, and what was seen there is
looked up by the fluid's step time.
"""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from policies.baselines.static import StaticSpec, static_policy
from policies.capacity.profile import Profile
from simulations.counts.capacity import needed_replicas
from simulations.counts.demand_counts import F8, I4, Counts
from simulations.lead_time import generator
from simulations.scenario import Scenario
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.trace import Trace

_REPLICAS = (2, 64)
_REQUESTS = 8_000
_REQUESTS_PER_REPLICA = 400
_NOT_COUNTED = 0.25
"""Of the requests, the first: until the batches are what they will be."""

_SHARES = (0.1, 0.25, 0.4, 0.5, 0.6, 0.66, 0.72, 0.78, 0.84, 0.9, 0.96, 1.02, 1.08, 1.16, 1.3)
"""Of the share of a replica's time that the mean TPOT allows."""

_FULLEST = 0.97

_ROOM = 20
"""The replicas measured have so many times the KV cache: the fluid knows when it is full, and would count it twice."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ServingCurve:
    """By mean step time, ascending; each of shape (points,).

    attainment: share of requests within the SLO, no wait before admission counted but the usual one.
    ttft_p50_seconds, ttft_p90_seconds, tpot_p90_seconds: of the same requests.
    """

    step_seconds: F8
    attainment: F8
    ttft_p50_seconds: F8
    ttft_p90_seconds: F8
    tpot_p90_seconds: F8

    def within(self, step_seconds: float) -> float:
        """Share of requests within the SLO."""
        return float(np.interp(step_seconds, self.step_seconds, self.attainment))

    def ttft_p90(self, step_seconds: float) -> float:
        return float(np.interp(step_seconds, self.step_seconds, self.ttft_p90_seconds))

    def tpot_p90(self, step_seconds: float) -> float:
        return float(np.interp(step_seconds, self.step_seconds, self.tpot_p90_seconds))

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        unfinished = path.with_name(f".{path.name}.npz")
        np.savez(unfinished, **{each.name: getattr(self, each.name) for each in fields(self)})
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> "ServingCurve":
        """What `save` wrote; OSError or ValueError where it is not that."""
        with np.load(path, allow_pickle=False) as file:
            return cls(**{each.name: file[each.name] for each in fields(cls)})


def serving_curve(counts: Counts, profile: Profile, slo: SLO, seed: int = 1) -> ServingCurve:
    """Measured at 15 rates, on as many replicas as the demand needs in the mean: the more share it, the steadier.

    From the seed. Ten seconds to a minute, by the number of replicas.
    """
    prompts, outputs = counts.sample_prompts, counts.sample_outputs
    fits = prompts.astype(np.int64) + outputs <= profile.kv_tokens
    prompts, outputs = prompts[fits], outputs[fits]
    work = _work_seconds(prompts, outputs, profile)
    allowed = 1.0 - profile.base_seconds / slo.tpot_seconds
    replicas = round(
        min(max(float(needed_replicas(counts, profile, slo.tpot_seconds).mean()), _REPLICAS[0]), _REPLICAS[1])
    )
    size = max(_REQUESTS, _REQUESTS_PER_REPLICA * replicas)
    rows: list[tuple[float, ...]] = []
    for number, part in enumerate(_SHARES):
        share = min(part * allowed, _FULLEST)
        rng = generator(seed, "serving curve", str(number))
        chosen = rng.integers(len(prompts), size=size)
        rate = share / work * replicas
        trace = Trace(
            counts.name,
            counts.start_ns,
            np.cumsum(rng.exponential(1.0 / rate, size)),
            prompts[chosen],
            outputs[chosen],
        )
        rows.append((profile.base_seconds / (1.0 - share), *_measured(trace, profile, slo, replicas)))
    rows = sorted(set(rows))
    columns = np.array(rows).T
    return ServingCurve(
        step_seconds=columns[0],
        attainment=np.minimum.accumulate(columns[1]),
        ttft_p50_seconds=columns[2],
        ttft_p90_seconds=columns[3],
        tpot_p90_seconds=columns[4],
    )


def _work_seconds(prompts: I4, outputs: I4, profile: Profile) -> float:
    """Server time of the mean request of the sample, beside the steps' base."""
    prompt, output = prompts.astype(np.float64), outputs.astype(np.float64)
    prefill = prompt * profile.per_prefill_token_seconds + prompt**2 / 2 * profile.per_prefill_context_token_seconds
    decode = output * profile.per_decode_seq_seconds
    read = output * (prompt + (output + 1) / 2) * profile.per_kv_token_seconds
    return float(np.mean(prefill + decode + read))


def _measured(trace: Trace, profile: Profile, slo: SLO, replicas: int) -> tuple[float, float, float, float]:
    roomy = replace(profile, kv_blocks=_ROOM * profile.kv_blocks, max_num_seqs=profile.max_num_batched_tokens)
    scenario = Scenario(trace=trace, profile=roomy, slo=slo, initial_replicas=replicas)
    result = simulate(scenario, static_policy(StaticSpec(replicas=replicas)))
    counted = slice(int(_NOT_COUNTED * len(trace)), None)
    ttft, tpot = result.ttft_seconds[counted], result.tpot_seconds[counted]
    good = float(result.good[counted].mean())
    return good, _quantile(ttft, 0.5), _quantile(ttft, 0.9), _quantile(tpot, 0.9)


def _quantile(values: F8, level: float) -> float:
    """Of those that are known; an answer of one token has no TPOT. 0 when there are none."""
    value = float(np.nanquantile(values, level)) if np.isfinite(values).any() else 0.0
    assert math.isfinite(value)
    return value
