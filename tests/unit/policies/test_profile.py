"""Latency profiles: the tables they come from, the names they have, and the bands they must lie in."""

from dataclasses import fields
from pathlib import Path

import pytest

from policies.capacity.gpus import GPUS, gpu_of
from policies.capacity.measured import CORRECTIONS, HELD_OUT
from policies.capacity.models import MODELS, model_of
from policies.capacity.profile import NOT_VALIDATED, PROFILES, Profile, physical_profile, profile_named
from policies.errors import BadInput

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "profiles.md"


@pytest.mark.parametrize(
    ("name", "billions", "kv_bytes"),
    [
        pytest.param("llama-3.1-8b", 8.03, 131_072, id="llama-3.1-8b"),
        pytest.param("llama-3.1-70b", 70.55, 327_680, id="llama-3.1-70b"),
        pytest.param("llama-2-70b", 68.98, 327_680, id="llama-2-70b"),
        pytest.param("qwen2.5-7b", 7.62, 57_344, id="qwen2.5-7b"),
        pytest.param("qwen3-14b", 14.77, 163_840, id="qwen3-14b"),
        pytest.param("gemma-7b", 8.54, 458_752, id="gemma-7b"),
        pytest.param("gemma-2-2b", 2.61, 106_496, id="gemma-2-2b"),
    ],
)
def test_parameters_and_kv_bytes_follow_from_the_shape(name: str, billions: float, kv_bytes: int) -> None:
    """The counts on the models' own pages, in billions to two decimals; KV bytes = 2 x 2 x layers x heads x size."""
    assert round(MODELS[name].parameters / 1e9, 2) == billions
    assert MODELS[name].kv_bytes_per_token == kv_bytes


@pytest.mark.parametrize(
    ("written", "short"),
    [
        pytest.param("H100", "h100", id="short"),
        pytest.param("NVIDIA-H100-80GB", "h100", id="node-label"),
        pytest.param("A100-80GB", "a100", id="with-memory"),
        pytest.param("NVIDIA-A100-SXM4-80GB", "a100", id="nvidia-smi"),
        pytest.param("Tesla-T4", "t4", id="old-name"),
        pytest.param("nvidia-l40s", "l40s", id="lower-case"),
    ],
)
def test_gpus_are_known_however_they_are_written(written: str, short: str) -> None:
    assert gpu_of(written) is GPUS[short]


@pytest.mark.parametrize("unknown", ["A100-40GB", "B200", ""])
def test_another_gpu_is_not_taken_for_one_of_ours(unknown: str) -> None:
    """An A100 of 40 GB has half the memory and three quarters of the bandwidth."""
    assert gpu_of(unknown) is None


def test_models_are_known_by_their_hugging_face_ids() -> None:
    assert model_of("meta-llama/Llama-3.1-8B-Instruct") is MODELS["llama-3.1-8b"]
    assert model_of("mistralai/Mistral-7B") is None


@pytest.mark.parametrize(
    ("gpu", "seqs", "tokens"), [("h100", 1_024, 8_192), ("a100", 256, 2_048), ("l40s", 256, 2_048), ("l4", 256, 2_048)]
)
def test_limits_are_vllms_defaults(gpu: str, seqs: int, tokens: int) -> None:
    """From 70 GiB up they are larger, except on an A100."""
    assert (GPUS[gpu].max_num_seqs, GPUS[gpu].max_num_batched_tokens) == (seqs, tokens)


def test_the_demos_profile_does_not_move() -> None:
    """Its figures are in the README; the formula must not touch it."""
    profile = PROFILES["llama-3.1-8b-fp8-l4"]
    assert (
        profile.base_seconds,
        profile.per_prefill_token_seconds,
        profile.per_decode_seq_seconds,
        profile.per_kv_token_seconds,
        profile.per_prefill_context_token_seconds,
        profile.request_overhead_seconds,
        profile.kv_blocks,
        profile.max_num_seqs,
        profile.max_num_batched_tokens,
        profile.gpus_per_replica,
    ) == (33.0e-3, 110e-6, 5.3e-6, 851e-9, 0.0, 0.0, 5_000, 256, 2_048, 1)


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_says_where_it_comes_from_and_how_well_it_is_validated(name: str) -> None:
    profile = PROFILES[name]
    assert profile.name == name
    assert profile.source
    assert profile.validation == NOT_VALIDATED or "leave-one-experiment-out" in profile.validation
    assert all(
        getattr(profile, field.name) >= 0
        for field in fields(profile)
        if isinstance(getattr(profile, field.name), float)
    )


def test_every_measured_pair_has_a_profile_with_its_own_error() -> None:
    assert set(CORRECTIONS) == set(HELD_OUT)
    validated = {name for name, profile in PROFILES.items() if profile.validation != NOT_VALIDATED}
    assert len(validated) == len(HELD_OUT)
    assert "llama-3.1-8b-h100-tp2" in validated


def test_8b_on_an_l4_lies_in_the_guides_band() -> None:
    """A NIM guide gives TPOT 50-70 ms and TTFT 2-3 s; it does not say for which prompt.

    One request: a token takes base + one sequence. TTFT of a prompt of 8,192 tokens, the longest that guides measure:
    four chunks of 2,048, each a step; 8,192 prompt tokens; attention 8,192^2 / 2; the KV cache of 20,480 tokens read.
    """
    profile = PROFILES["llama-3.1-8b-l4"]
    assert 0.050 <= profile.base_seconds + profile.per_decode_seq_seconds <= 0.070
    ttft = (
        4 * profile.base_seconds
        + 8_192 * profile.per_prefill_token_seconds
        + 8_192**2 / 2 * profile.per_prefill_context_token_seconds
        + 20_480 * profile.per_kv_token_seconds
        + profile.request_overhead_seconds
    )
    assert 2.0 <= ttft <= 3.0


def test_the_prefill_slope_is_within_the_hardware_limit() -> None:
    """No prompt token costs less than its FLOPs at peak; Llama-3-8B on A100 near Vidur's measured 65.9 us."""
    for name, profile in PROFILES.items():
        if name == "llama-3.1-8b-fp8-l4":
            continue
        model, gpu = model_of(profile.model), gpu_of(profile.gpu)
        assert model is not None
        assert gpu is not None
        at_peak = 2 * model.layer_parameters / (gpu.flops * profile.tensor_parallel_size)
        assert profile.per_prefill_token_seconds >= at_peak
    assert PROFILES["llama-3.1-8b-a100"].per_prefill_token_seconds == pytest.approx(65.9e-6, rel=0.15)


def test_tensor_parallelism_shares_the_work_and_pays_for_it() -> None:
    """On four GPUs a step is shorter than on one, but longer than a quarter: launches and all-reduces stay."""
    one, four = (physical_profile(MODELS["qwen3-14b"], GPUS["h100"], ranks) for ranks in (1, 4))
    assert one.base_seconds / 4 < four.base_seconds < one.base_seconds
    assert four.per_prefill_token_seconds == pytest.approx(one.per_prefill_token_seconds / 4)


def test_a_pair_that_is_not_listed_is_made_on_demand() -> None:
    profile = profile_named("gemma-2-2b-h100")
    assert (profile.model, profile.gpu) == ("google/gemma-2-2b-it", "NVIDIA-H100-80GB")
    assert profile.validation == NOT_VALIDATED
    assert profile_named("llama-3.1-8b-a100-tp2").gpus_per_replica == 2


@pytest.mark.parametrize(
    ("name", "named"),
    [
        pytest.param("llama-3.1-8b-t4", "llama-3.1-8b does not fit 1 x NVIDIA-T4", id="does-not-fit"),
        pytest.param("llama-3.1-8b-h10", "the nearest is llama-3.1-8b-h100", id="misspelt"),
        pytest.param("mistral-7b-h100", "must be one of llama-3.1-8b-fp8-l4", id="unknown-model"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name: str, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        profile_named(name)


def row(profile: Profile) -> str:
    """A profile as docs/reference/profiles.md shows it."""
    ranks = profile.tensor_parallel_size
    error = profile.validation.removeprefix("median error ").removesuffix(", leave-one-experiment-out")
    cells = [
        f"`{profile.name}`",
        f"{ranks} x {profile.gpu}" if ranks > 1 else profile.gpu,
        f"{1e3 * profile.base_seconds:.2f}",
        f"{1e6 * profile.per_prefill_token_seconds:.1f}",
        f"{1e9 * profile.per_prefill_context_token_seconds:.2f}",
        f"{1e6 * profile.per_decode_seq_seconds:.1f}",
        f"{1e9 * profile.per_kv_token_seconds:.0f}",
        f"{1e3 * profile.request_overhead_seconds:.1f}",
        f"{profile.kv_tokens:,}",
        "not validated" if profile.validation == NOT_VALIDATED else error.replace(" measured", ""),
    ]
    return f"| {' | '.join(cells)} |"


def test_the_reference_page_shows_the_profiles_as_they_are() -> None:
    section = PAGE.read_text(encoding="utf-8").split("## The listed profiles")[1].split("##")[0]
    shown = [line for line in section.splitlines() if line.startswith("| `")]
    assert shown == [row(profile) for profile in PROFILES.values()]
