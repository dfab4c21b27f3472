"""What one replica sustains: the closed form against the iteration-level engine, and its edges."""

import numpy as np
import pytest

from policies.capacity.profile import PROFILES
from policies.capacity.sustained import sustained_batch, sustained_requests_per_second
from simulations.engine import Engine, ServerModel
from simulations.trace import Trace

PROMPT, OUTPUT = 1_000, 200


@pytest.mark.parametrize("name", PROFILES)
def test_the_engine_at_the_sustained_rate_has_the_target_step_time(name: str) -> None:
    """Evenly spaced equal requests at the sustained rate decode at the target TPOT, within 5 %."""
    profile = PROFILES[name]
    target = 1.3 * profile.base_seconds
    rate = sustained_requests_per_second(profile, prompt_tokens=PROMPT, output_tokens=OUTPUT, tpot_seconds=target)
    model = ServerModel(
        base=profile.base_seconds,
        per_prefill_token=profile.per_prefill_token_seconds,
        per_decode_seq=profile.per_decode_seq_seconds,
        per_kv_token=profile.per_kv_token_seconds,
        per_prefill_context_token=profile.per_prefill_context_token_seconds,
        kv_blocks=profile.kv_blocks,
        max_num_seqs=profile.max_num_seqs,
        max_num_batched_tokens=profile.max_num_batched_tokens,
    )
    count = 2_000
    demand = Trace(
        "even", 0, np.arange(count) / rate, np.full(count, PROMPT, np.int32), np.full(count, OUTPUT, np.int32)
    )
    engine = Engine([model], demand)
    engine.open(engine.add_server(0))
    engine.advance(1e9)
    requests = engine.requests[:count]
    tpot = ((requests["finish"] - requests["first_token"]) / (OUTPUT - 1))[count // 2 : -200]
    assert tpot.mean() == pytest.approx(target, rel=0.05)


def test_a_target_below_the_empty_step_sustains_nothing() -> None:
    profile = PROFILES["llama-3.1-8b-l40s"]
    assert (
        sustained_requests_per_second(
            profile, prompt_tokens=PROMPT, output_tokens=OUTPUT, tpot_seconds=profile.base_seconds
        )
        == 0.0
    )


def test_the_kv_cache_bounds_the_batch() -> None:
    profile = PROFILES["llama-3.1-8b-l4"]
    batch = sustained_batch(profile, prompt_tokens=4_000, output_tokens=200, tpot_seconds=10.0)
    assert batch == pytest.approx(profile.kv_tokens / 4_100)
