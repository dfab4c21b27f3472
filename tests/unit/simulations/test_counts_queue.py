"""The fluid queue: its steady state in closed form, and requests that are never lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.capacity.profile import profile_named
from simulations.calibration.measured_run import MeasuredRun
from simulations.calibration.steady_state import steady_state
from simulations.counts.queue import Mix, Queue

PROFILE = profile_named("llama-3.1-8b-fp8-l4")


def mix(prompt: float, output: float) -> Mix:
    return Mix(
        prompt_tokens=prompt,
        output_tokens=output,
        prefill_seconds=prompt * PROFILE.per_prefill_token_seconds,
        context_tokens=prompt + (output + 1) / 2,
    )


@pytest.mark.parametrize(
    ("prompt", "output", "per_second"),
    [
        pytest.param(500, 200, 0.5, id="mostly-decode"),
        pytest.param(1_500, 20, 2.0, id="mostly-prefill"),
        pytest.param(1_000, 200, 1.5, id="busy"),
    ],
)
def test_it_settles_where_the_closed_form_says(prompt: float, output: float, per_second: float) -> None:
    queue, request = Queue(PROFILE), mix(prompt, output)
    for _ in range(2_000):
        flow = queue.advance(1.0, 3 * per_second, 3, request)
    expected = steady_state(
        PROFILE,
        MeasuredRun(
            line=1,
            experiment="steady",
            model=PROFILE.model,
            gpu=PROFILE.gpu,
            tensor_parallel_size=1,
            input_tokens=prompt,
            output_tokens=output,
            requests_per_second=per_second,
        ),
    )
    assert flow.step_seconds == pytest.approx(expected.itl_seconds, rel=1e-6)
    assert queue.batch == pytest.approx(per_second * output * expected.itl_seconds, rel=1e-6)
    assert queue.waiting == 0


stretches = st.lists(st.tuples(st.floats(0.001, 15), st.floats(0, 500), st.integers(0, 8)), min_size=1, max_size=40)


@given(stretches=stretches, prompt=st.floats(1, 8_000), output=st.floats(1, 4_000))
def test_what_arrived_waits_runs_or_is_finished(
    stretches: list[tuple[float, float, int]], prompt: float, output: float
) -> None:
    """With the number of replicas changed as a fleet does it: the batch is spread over the new count."""
    queue, request = Queue(PROFILE), mix(prompt, output)
    arrived = finished = 0.0
    before = 0
    for seconds, arrivals, replicas in stretches:
        if replicas and before:
            queue.batch *= before / replicas
        before = replicas or before
        flow = queue.advance(seconds, arrivals, replicas, request)
        arrived, finished = arrived + arrivals, finished + flow.finished
        assert queue.waiting >= 0
        assert queue.batch >= 0
        assert flow.admitted >= -1e-9
        assert queue.waiting + queue.batch * before + finished == pytest.approx(arrived, rel=1e-6, abs=1e-6)


def test_a_full_cache_makes_requests_wait() -> None:
    """80,000 tokens hold 20 contexts of 4,000; ten times as many requests queue up."""
    queue, request = Queue(PROFILE), mix(3_800, 400)
    for _ in range(600):
        queue.advance(1.0, 5.0, 1, request)
    assert queue.batch == pytest.approx(PROFILE.kv_tokens / request.context_tokens)
    assert queue.waiting > 1_000
