"""A run's mean latencies in closed form: what the simulator converges to while queues stay short.

Requests arrive at rate r, each with u uncached prompt tokens, o output tokens and a context of x tokens on average
while it decodes. A second of the server's time holds 1 / s steps of `base`, and the work of r requests:

    1 = base / s + r * (o * (per_seq + per_kv * x) + prefill)        so        s = base / (1 - r * (...))

A request waits half a step, is prefilled in one, and then takes a step a token.
"""

from policies.capacity.profile import Profile
from simulations.calibration.measured_run import MeasuredRun, SimulatedRun

_FULLEST = 0.98
"""Beyond this share of the server's time the queue grows without end; the formula stays finite and large."""


def steady_state(profile: Profile, run: MeasuredRun) -> SimulatedRun:
    """Mean ITL, E2E and TTFT in seconds. ttft_p99_seconds is the longest wait of one step, without collisions."""
    assert run.requests_per_second is not None, "a run without a rate has no steady state"
    reused = run.reused_tokens
    uncached = run.input_tokens - reused
    prefill = uncached * (
        profile.per_prefill_token_seconds + profile.per_prefill_context_token_seconds * (reused + uncached / 2)
    )
    context = run.input_tokens + (run.output_tokens + 1) / 2
    per_token = profile.per_decode_seq_seconds + profile.per_kv_token_seconds * context
    share = run.requests_per_second * (run.output_tokens * per_token + prefill)
    step = profile.base_seconds / (1.0 - min(share, _FULLEST))
    ttft = 1.5 * step + prefill + profile.request_overhead_seconds
    return SimulatedRun(
        itl_seconds=step,
        e2e_seconds=ttft + (run.output_tokens - 1) * step,
        ttft_seconds=ttft,
        ttft_p99_seconds=ttft + step / 2,
    )
