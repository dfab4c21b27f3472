"""What one replica sustains: the closed form against the iteration-level engine, and its edges."""

import numpy as np
import pytest

from policies.capacity.profile import PROFILES
from policies.capacity.sustained import sustained_batch, sustained_requests_per_second
from simulations import engine

PROMPT, OUTPUT = 1_000, 200


@pytest.mark.parametrize("name", PROFILES)
def test_the_engine_at_the_sustained_rate_has_the_target_step_time(name: str) -> None:
    """Evenly spaced equal requests at the sustained rate decode at the target TPOT, within 5 %."""
    profile = PROFILES[name]
    target = 1.3 * profile.base_seconds
    rate = sustained_requests_per_second(profile, prompt_tokens=PROMPT, output_tokens=OUTPUT, tpot_seconds=target)
    model = engine.Model(
        profile.base_seconds,
        profile.per_prefill_token_seconds,
        profile.per_decode_seq_seconds,
        profile.per_kv_token_seconds,
        profile.kv_blocks,
        profile.max_num_seqs,
        profile.max_num_batched_tokens,
    )
    count = 2_000
    requests = engine.new_requests(
        np.arange(count) / rate, np.full(count, PROMPT, np.int32), np.full(count, OUTPUT, np.int32)
    )
    servers = engine.new_servers(1, model)
    servers.state.routable[0] = 1
    engine.dispatch(model, servers, np.array([0], np.int32), requests, 0, 1e9)
    tpot = ((requests.finish - requests.first_token) / (OUTPUT - 1))[count // 2 : -200]
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
