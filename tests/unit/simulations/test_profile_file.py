"""Profiles as YAML: written and read back, filled by the formula, refused with the nearest key."""

from dataclasses import replace
from pathlib import Path

import pytest

from policies.capacity.profile import PROFILES
from policies.errors import BadInput
from simulations.calibration.profile_file import profile_yaml, read_profile


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_reads_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    assert read_profile(write(tmp_path, profile_yaml(PROFILES[name]))) == PROFILES[name]


def test_a_name_is_a_built_in_profile() -> None:
    assert read_profile("llama-3.1-8b-h100") is PROFILES["llama-3.1-8b-h100"]


def test_what_is_left_out_comes_from_the_formula(tmp_path: Path) -> None:
    path = write(tmp_path, "model: qwen/qwen2.5-7b-instruct\ngpu: L40S\nbase_seconds: 0.02\nkv_blocks: 9\n")
    expected = replace(
        PROFILES["qwen2.5-7b-l40s"], model="qwen/qwen2.5-7b-instruct", gpu="L40S", base_seconds=0.02, kv_blocks=9
    )
    assert read_profile(path) == expected


UNKNOWN_HARDWARE = """\
model: my-model
gpu: MI300X
base_seconds: 0.01
per_prefill_token_seconds: 1.0e-5
per_decode_seq_seconds: 1.0e-5
per_kv_token_seconds: 1.0e-8
per_prefill_context_token_seconds: 0
request_overhead_seconds: 0.01
kv_blocks: 1000
kv_bytes_per_token: 1000
max_num_seqs: 256
"""


def test_hardware_of_ones_own_needs_every_number(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"max_num_batched_tokens: is missing, and model 'my-model' is not one of llama"):
        read_profile(write(tmp_path, UNKNOWN_HARDWARE))
    profile = read_profile(write(tmp_path, UNKNOWN_HARDWARE + "max_num_batched_tokens: 2048\n"))
    assert (profile.name, profile.gpu, profile.validation) == ("mine", "MI300X", "not validated")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("model: a\ngpu: b\nbase_second: 1\n", "unknown key 'base_second'; .* 'base_seconds'", id="typo"),
        pytest.param("gpu: L4\n", "model: was missing", id="no-model"),
        pytest.param("model: a\ngpu: b\nkv_blocks: -1\n", "kv_blocks: was -1; input should be greater", id="negative"),
        pytest.param("model: a\ngpu: b\nbase_seconds: fast\n", "base_seconds: was 'fast'", id="text"),
        pytest.param("model: a\ngpu: b\nbase_seconds: .nan\n", "base_seconds: was nan", id="nan"),
        pytest.param("- model\n", "was list, must be a mapping", id="a-list"),
        pytest.param("model: [\n", "is not YAML", id="not-yaml"),
        pytest.param("model: llama-3.1-70b\ngpu: l4\n", "llama-3.1-70b does not fit 1 x NVIDIA-L4", id="does-not-fit"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        read_profile(write(tmp_path, text))


def test_neither_a_name_nor_a_file_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_profile("absent.yaml")
    with pytest.raises(BadInput, match="profile: was 'llama'"):
        read_profile("llama")
