"""Which GPUs can be planned with, and what binds where one cannot: by how much, and what would help."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from leadtime.plan.candidates import Candidate, Refused, candidates
from leadtime.plan.options import lead_time_of, request_of
from policies.errors import BadInput

PRICES = """
machines:
  l4-1: {gpu: NVIDIA-L4, gpus: 1, vcpus: 4, memory_gib: 16, prices: {here: {on_demand_usd_per_hour: 0.70,
    spot_usd_per_hour: 0.25, source: a list, as_of: 2026-11-01}}}
  l4-2: {gpu: NVIDIA-L4, gpus: 2, vcpus: 8, memory_gib: 32, prices: {here: {on_demand_usd_per_hour: 1.40,
    as_of: 2026-11-01}}}
  l4-8: {gpu: NVIDIA-L4, gpus: 8, vcpus: 96, memory_gib: 384, prices: {here: {on_demand_usd_per_hour: 9.00,
    as_of: 2026-11-01}}}
  a100-1: {gpu: NVIDIA-A100-SXM4-80GB, gpus: 1, vcpus: 12, memory_gib: 170, prices: {here: {
    on_demand_usd_per_hour: 5.00, as_of: 2026-11-01}}}
"""


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES)
    return path


def asked(prices: Path, **options: Any) -> tuple[list[Candidate], list[Refused]]:
    given: dict[str, Any] = {
        "demand": "poisson:rate=1",
        "model": "llama-3.1-8b",
        "gpus": "l4",
        "start": date(2026, 1, 1),
    }
    return candidates(request_of(**{**given, "prices": prices, "region": "here", **options}))


def test_the_cheapest_machine_that_holds_a_replica_is_taken(prices: Path) -> None:
    (found,), refused = asked(prices)
    assert not refused
    assert (found.machine.name, found.replicas_per_node) == ("l4-1", 1)
    assert (found.machine.as_of, found.machine.spot_usd_per_hour) == ("2026-11-01", 0.25)
    (wanted,), _ = asked(prices, machines="l4=l4-2")
    assert (wanted.machine.name, wanted.replicas_per_node) == ("l4-2", 2)


def test_of_machines_at_one_price_a_gpu_the_smallest_is_taken() -> None:
    """In the shipped table 8 GPUs cost 8 times as much as one up to rounding, and would often be half empty."""
    (found,), _ = candidates(
        request_of(demand="poisson:rate=1", model="llama-3.1-8b", gpus="a100", start=date(2026, 1, 1))
    )
    assert found.machine.name == "a2-ultragpu-1g"


def test_a_model_too_large_for_one_gpu_takes_the_fewest_that_hold_it(prices: Path) -> None:
    (found,), _ = asked(prices, model="llama-3.1-70b", slo="5,0.5", gpus="l4")
    assert found.profile.gpus_per_replica == 8
    assert found.machine.name == "l4-8"
    assert "does not fit 4 x NVIDIA-L4" in found.notes[0]
    assert "141.1 GB of weights" in found.notes[0]


def test_two_gpus_are_taken_where_one_is_too_slow_for_the_slo(prices: Path) -> None:
    (found,), _ = asked(prices, slo="2,0.05")
    assert found.profile.gpus_per_replica == 2
    assert found.machine.name == "l4-2"
    assert (
        "62.2 ms on 1 x NVIDIA-L4 is not below the TPOT target of 50.0 ms; 32.1 ms on 2 x NVIDIA-L4 is"
        in found.notes[0]
    )


@pytest.mark.parametrize(
    ("options", "constraint", "text"),
    [
        pytest.param(
            {"gpus": "a100", "model": "llama-3.1-70b"},
            "memory",
            r"does not fit 1 x NVIDIA-A100.* 141\.1 GB of weights.*the fewest GPUs that hold it are 2 x ",
            id="too-large-for-the-largest-machine",
        ),
        pytest.param(
            {"gpus": "l4", "slo": "2,0.005"},
            "tpot",
            r"62\.2 ms on 1 x NVIDIA-L4, .* is not below the TPOT target of 5\.0 ms, by \d+\.\d ms",
            id="too-slow-even-on-eight",
        ),
        pytest.param(
            {"gpus": "h100"},
            "price",
            r"no machine with h100 has a price in here; add one to simulations/prices/table\.py",
            id="price",
        ),
        pytest.param(
            {"gpus": "l4-tp2", "machines": "l4=l4-1"},
            "machine",
            r"takes 2 GPUs of one node, and l4-1 was asked for; there are l4-1 \(1\), l4-2 \(2\)",
            id="the-machine-that-is-wanted-is-too-small",
        ),
        pytest.param({"gpus": "l4-tp3"}, "memory", r"no tensor-parallel size of 3", id="heads-do-not-divide"),
    ],
)
def test_what_cannot_be_says_which_constraint_binds(
    prices: Path, options: dict[str, Any], constraint: str, text: str
) -> None:
    found, (refused,) = asked(prices, **options)
    assert not found
    assert refused.constraint == constraint
    assert re.search(text, refused.text), refused.text


def test_one_that_cannot_leaves_the_others(prices: Path) -> None:
    found, refused = asked(prices, gpus="h100,l4,a100")
    assert [each.name for each in found] == ["l4", "a100"]
    assert [each.name for each in refused] == ["h100"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"gpus": "l5"}, r"--gpus: was 'l5', must be of t4, l4, l40s, a100, h100", id="no-such-gpu"),
        pytest.param({"model": "gpt-2"}, r"--model: was 'gpt-2', must be one of llama", id="no-such-model"),
        pytest.param({"slo": "2"}, r"--slo: was '2', must be 2 numbers in \[0.001, 3600\]", id="half-an-slo"),
        pytest.param(
            {"attainment": 99.0}, r"--attainment: was 99, must be in \[0.5, 0.9999\]; it is a share", id="percent"
        ),
        pytest.param({"quota": "l4"}, r"--quota: was 'l4', must be GPU=VALUE", id="a-quota-without-a-number"),
        pytest.param({"quota": "l4=4.5"}, r"--quota: l4 was '4.5', must be a whole number", id="half-a-gpu"),
        pytest.param({"quota": "l4=4,NVIDIA-L4=5"}, r"--quota: l4 was given twice", id="a-quota-twice"),
        pytest.param({"spot": "0.1,0.1,1.5"}, r"--spot: was 0.1,0.1,1.5, must be 1 to 3 numbers", id="half-a-zone"),
        pytest.param({"spot": "often"}, r"--spot: was 'often', must be numbers in \[0, 60\]", id="no-rate"),
        pytest.param({"policies": "schedule"}, r"--policies: schedule cannot be planned with", id="a-calendar"),
        pytest.param({"policies": "hpa-que"}, r"policy: was 'hpa-que', did you mean hpa-queue", id="a-typing-error"),
        pytest.param({"lead_time": "5m"}, r"--lead-time: was '5m', must be seconds in .* gke-l4-recorded", id="a-unit"),
        pytest.param({"lead_time": "0"}, r"--lead-time: was 0, must be in \[1, 7200\]", id="no-time"),
        pytest.param({"target": "vllm"}, r"--target: was 'vllm', must be Kind/name", id="no-kind"),
        pytest.param(
            {"growth_per_month": 10.0}, r"--growth-per-month: was 10, must be in \[0.5, 3\]", id="percent-a-month"
        ),
        pytest.param({"seeds": "1,1"}, r"--seeds: was 1,1, must differ", id="equal-seeds"),
        pytest.param({"gpus": ""}, r"--model and --gpus: were not given", id="no-candidates"),
    ],
)
def test_bad_input_names_field_value_and_range(prices: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        asked(prices, **options)


def test_a_price_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"prices: .*missing.yaml cannot be read"):
        asked(tmp_path / "missing.yaml")


def test_without_a_region_each_machine_has_its_own(prices: Path) -> None:
    """The shipped table has each cloud's machines in one region of that cloud."""
    found, refused = asked(prices, gpus="l4,l40s", region=None)
    assert not refused
    assert [each.machine.region for each in found] == ["here", "us-east-1"]


def test_a_recorded_start_is_a_lead_time() -> None:
    found = lead_time_of("gke-l4-recorded")
    assert found.start_median_seconds == pytest.approx(111.0), "FailedScheduling to Running, as it was recorded"
    assert found.sigma > 0
    assert lead_time_of("300").start_median_seconds + lead_time_of("300").load_median_seconds == 300.0
