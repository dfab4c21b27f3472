"""KV blocks: the formula against what vLLM logged, and models that do not fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.capacity.gpus import GPUS
from policies.capacity.kv_cache import kv_blocks
from policies.capacity.measured import LOGGED_KV_BLOCKS
from policies.capacity.models import MODELS
from policies.errors import BadInput


@pytest.mark.parametrize("pair", LOGGED_KV_BLOCKS, ids=str)
def test_the_formula_is_within_2_percent_of_what_vllm_logged(pair: tuple[str, str, int]) -> None:
    model, gpu, ranks = pair
    assert kv_blocks(MODELS[model], GPUS[gpu], ranks) == pytest.approx(LOGGED_KV_BLOCKS[pair], rel=0.02)


def test_a_model_that_does_not_fit_is_refused_with_the_arithmetic() -> None:
    """8.03 billion weights of 2 bytes on a T4 of 15,360 MiB."""
    with pytest.raises(BadInput) as refused:
        kv_blocks(MODELS["llama-3.1-8b"], GPUS["t4"])
    text = str(refused.value)
    assert text.startswith(
        "llama-3.1-8b does not fit 1 x NVIDIA-T4: 14.5 GB usable (0.9 x 16.1 x 1) - 16.1 GB of weights"
    )
    assert text.endswith("take more or larger GPUs, or quantised weights")


@pytest.mark.parametrize(
    ("model", "gpu", "ranks", "fits"),
    [
        pytest.param("llama-3.1-70b", "h100", 1, False, id="70b-needs-more-than-one-h100"),
        pytest.param("llama-3.1-70b", "h100", 4, True, id="70b-on-four-h100"),
        pytest.param("llama-3.1-70b", "l4", 4, False, id="70b-on-four-l4"),
        pytest.param("gemma-7b", "l4", 2, True, id="gemma-7b-on-two-l4"),
        pytest.param("gemma-2-2b", "t4", 1, True, id="gemma-2-2b-on-a-t4"),
    ],
)
def test_what_fits(model: str, gpu: str, ranks: int, fits: bool) -> None:
    if fits:
        assert kv_blocks(MODELS[model], GPUS[gpu], ranks) * 16 >= 2_048
    else:
        with pytest.raises(BadInput, match="does not fit"):
            kv_blocks(MODELS[model], GPUS[gpu], ranks)


@pytest.mark.parametrize("ranks", [0, 3, 8])
def test_ranks_that_do_not_divide_the_heads_are_refused(ranks: int) -> None:
    """Qwen2.5-7B has 28 attention heads: 1, 2 and 4 divide them, 8 does not."""
    with pytest.raises(
        BadInput, match=rf"tensor_parallel_size: was {ranks}, must divide the 28 .* choose one of 1, 2, 4"
    ):
        kv_blocks(MODELS["qwen2.5-7b"], GPUS["h100"], ranks)


@given(model=st.sampled_from(sorted(MODELS)), gpu=st.sampled_from(sorted(GPUS)))
def test_twice_the_gpus_hold_at_least_twice_the_cache(model: str, gpu: str) -> None:
    """The weights are shared out, so each GPU has more room; a model that fits n GPUs fits 2n."""
    for ranks in (1, 2):
        try:
            few = kv_blocks(MODELS[model], GPUS[gpu], ranks)
        except BadInput:
            continue
        assert kv_blocks(MODELS[model], GPUS[gpu], 2 * ranks) >= 2 * few
