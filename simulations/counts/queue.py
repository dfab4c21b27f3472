"""The requests of a fleet of equal replicas as a fluid: a queue before them, one batch spread over them.

Per replica, with n requests decoding and r admitted a second, each needing f seconds of prefill, o output tokens and
c seconds of every step:

    step  s = (base + c n) / (1 - r f)         a second holds the steps and the prefills
    n'      = r - n / (o s)                    each step gives every request a token

Its steady state is that of simulations/calibration/steady_state.py. A step of the solver is implicit (backward
Euler), a quadratic in n: stable for any length, and n stays positive.
"""

import math
from dataclasses import dataclass, field

from policies.capacity.profile import Profile

_MOST_PREFILL = 0.95
"""Share of the time that prefills may take: running requests always advance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """The mean request. prefill_seconds: of server time. context_tokens: held while it decodes, mean over its steps."""

    prompt_tokens: float
    output_tokens: float
    prefill_seconds: float
    context_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What a stretch of time did. step_seconds: of an iteration; admitted, finished, tokens: over all replicas."""

    admitted: float
    finished: float
    generated_tokens: float
    step_seconds: float


@dataclass(slots=True)
class Queue:
    """waiting: requests no replica has admitted. batch: requests decoding, per replica."""

    profile: Profile
    waiting: float = 0.0
    batch: float = 0.0
    _idle: Flow = field(
        default_factory=lambda: Flow(admitted=0.0, finished=0.0, generated_tokens=0.0, step_seconds=0.0)
    )

    def advance(self, seconds: float, arrivals: float, replicas: int, mix: Mix) -> Flow:
        """Serve for `seconds`, in which `arrivals` requests come, spread evenly. Without replicas all of them wait."""
        if replicas == 0:
            self.waiting += arrivals
            return self._idle
        profile = self.profile
        per_request = profile.per_decode_seq_seconds + profile.per_kv_token_seconds * mix.context_tokens
        largest = min(profile.kv_tokens / mix.context_tokens, float(profile.max_num_seqs))
        fullest = profile.base_seconds + self.batch * per_request + _full_prefill(profile, mix)
        most = profile.max_num_batched_tokens / mix.prompt_tokens / fullest
        offered = (self.waiting + arrivals) / replicas
        admitted = min(offered, seconds * most, seconds * _MOST_PREFILL / mix.prefill_seconds)
        busy = admitted * mix.prefill_seconds / seconds
        decode = (1.0 - busy) * seconds / mix.output_tokens
        batch = self._after(admitted, decode, per_request)
        if batch > largest:  # the cache is full: as many come in as leave; what is beyond it only leaves
            batch = max(largest, self._after(0.0, decode, per_request))
            admitted = batch - self.batch + decode * batch / (profile.base_seconds + per_request * batch)
            busy = admitted * mix.prefill_seconds / seconds
        finished = self.batch + admitted - batch
        step = (profile.base_seconds + per_request * batch) / (1.0 - busy)
        self.waiting = max(0.0, self.waiting + arrivals - admitted * replicas)
        self.batch = batch
        return Flow(
            admitted=admitted * replicas,
            finished=finished * replicas,
            generated_tokens=finished * replicas * mix.output_tokens,
            step_seconds=step,
        )

    def _after(self, admitted: float, decode: float, per_request: float) -> float:
        """The batch y with y = batch + admitted - decode y / (base + c y). decode: seconds a token."""
        base, total = self.profile.base_seconds, self.batch + admitted
        linear = base - per_request * total + decode
        if per_request <= 0:
            return total * base / linear
        root = math.sqrt(linear * linear + 4.0 * per_request * total * base)
        # The form without cancellation, whichever sign `linear` has.
        return 2.0 * total * base / (root + linear) if linear > 0 else (root - linear) / (2.0 * per_request)


def _full_prefill(profile: Profile, mix: Mix) -> float:
    """What prefilling a whole token budget adds to a step."""
    return mix.prefill_seconds * profile.max_num_batched_tokens / mix.prompt_tokens
