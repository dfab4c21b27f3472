"""Batch profiles, servers' configurations, and which batch size is best."""

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies.errors import BadInput
from simulations.batching import BatchProfile, FixedBatch, TorchServe, Triton
from simulations.batching.batch_profile import fitted_profile
from simulations.batching.batch_sizes import BatchSizeRow, batch_size_table, best_batch_size
from simulations.batching.measured import BATCH_PROFILES, RESNET50_ON_A100, RESNET50_ON_T4, RESNET50_ON_V100

T4 = BATCH_PROFILES["resnet50-fp16-t4"]


@pytest.mark.parametrize(
    ("name", "measured", "worst"),
    [
        ("resnet50-fp16-t4", RESNET50_ON_T4, 0.032),
        ("resnet50-fp16-v100", RESNET50_ON_V100, 0.023),
        ("resnet50-fp16-a100-80gb", RESNET50_ON_A100, 0.066),
    ],
)
def test_a_shipped_profile_is_as_near_to_its_measurements_as_it_says(
    name: str, measured: tuple[tuple[int, float], ...], worst: float
) -> None:
    profile = BATCH_PROFILES[name]
    errors = [abs(profile.batch_seconds([1] * size, [1] * size) / seconds - 1) for size, seconds in measured]
    assert max(errors) < worst
    assert f"within {max(errors):.1%}" in profile.source


def test_a_fit_of_an_exact_line_is_that_line() -> None:
    profile = fitted_profile("line", [(1, 3.0), (2, 5.0), (8, 17.0)], "made up")
    assert profile.base_seconds == pytest.approx(1.0)
    assert profile.per_item_seconds == pytest.approx(2.0)


def profile_with(**fields: Any) -> BatchProfile:
    return BatchProfile(**({"name": "p", "base_seconds": 1.0, "per_item_seconds": 1.0, "source": "x"} | fields))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Triton(max_batch_size=0), r"max_batch_size: was 0, must be .* in \[1, 65536\]"),
        (lambda: Triton(max_batch_size=4, preferred_batch_size=(8,)), r"preferred_batch_size: was 8, .* in \[1, 4\]"),
        (lambda: Triton(max_queue_delay_microseconds=-1), "max_queue_delay_microseconds: was -1"),
        (lambda: Triton(dynamic_batching=False, max_queue_size=3), "must be 0 without dynamic_batching"),
        (lambda: TorchServe(job_queue_size=0), "job_queue_size: was 0"),
        (lambda: TorchServe(max_batch_delay=-5), "max_batch_delay: was -5"),
        (lambda: FixedBatch(batch_size=4, max_wait_seconds=math.inf), "max_wait_seconds: was inf"),
        (lambda: profile_with(per_item_seconds=-1.0), "per_item_seconds: was -1.0"),
        (lambda: profile_with(base_seconds=0.0, per_item_seconds=0.0), "longer than 0 s"),
        (lambda: fitted_profile("p", [(1, 1.0)], "x"), "two batch sizes or more"),
        (lambda: fitted_profile("p", [(1, 1.0), (2, 3.0)], "x"), "must both be 0 or more"),
        (lambda: batch_size_table(T4, requests_per_second=0.0), "requests_per_second: was 0.0"),
        (lambda: batch_size_table(T4, requests_per_second=1.0, requests=10), "requests: was 10"),
    ],
)
def test_bad_input_is_told_with_field_value_and_range(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make()


def test_without_preferred_sizes_the_largest_batch_is_preferred() -> None:
    assert Triton(max_batch_size=16).rule().preferred_batch_sizes == (16,)
    assert Triton(max_batch_size=16).rule().prefetches
    assert not Triton(max_batch_size=16, max_queue_size=4).rule().prefetches


def test_throughput_at_saturation_is_a_full_batch_per_its_time() -> None:
    """n / (base + n * per item), less the last batch where the requests do not divide by n."""
    for row in batch_size_table(T4, requests_per_second=100.0, requests=4_800):
        seconds = T4.batch_seconds([1] * row.batch_size, [1] * row.batch_size)
        assert row.saturation_requests_per_second == pytest.approx(row.batch_size / seconds, rel=1e-9)


def test_waiting_for_full_batches_trades_latency_for_gpu_time() -> None:
    """At 300 requests/s on a T4: batches of 1 are nearly saturated; larger ones keep the GPU less busy, and from 4 on
    wait longer. Batches that begin at once are never worse than smaller ones."""
    patient = batch_size_table(T4, requests_per_second=300.0, max_wait_seconds=0.1, requests=20_000)
    assert [row.batch_size for row in patient] == [1, 2, 4, 8, 16, 32]
    busy = [row.utilization for row in patient]
    assert busy == sorted(busy, reverse=True)
    p50 = [row.p50_seconds for row in patient][1:]
    assert p50 == sorted(p50)
    eager = batch_size_table(T4, requests_per_second=300.0, requests=20_000)
    p99 = [row.p99_seconds for row in eager]
    assert p99 == sorted(p99, reverse=True)
    assert best_batch_size(patient, p99_seconds=0.02).batch_size == 2
    assert best_batch_size(patient, p99_seconds=0.06).batch_size == 8
    assert best_batch_size(eager, p99_seconds=0.02).batch_size == 32


def test_a_saturated_size_has_no_latency() -> None:
    rows = batch_size_table(T4, requests_per_second=600.0, requests=5_000)
    assert [math.isinf(row.p99_seconds) for row in rows] == [True, True, False, False, False, False]


def test_padding_makes_a_lonely_request_pay_for_a_full_batch() -> None:
    (row,) = batch_size_table(T4, requests_per_second=1.0, sizes=[32], pads=True, requests=1_000)
    assert row.p50_seconds == pytest.approx(T4.batch_seconds([1] * 32, [1] * 32))


def test_longer_answers_make_longer_batches() -> None:
    generating = dataclasses.replace(T4, per_output_step_seconds=0.01)
    lengths = np.random.default_rng(1).integers(1, 50, 2_000).astype(np.int32)
    (short,) = batch_size_table(generating, requests_per_second=0.1, sizes=[4], requests=2_000)
    (long,) = batch_size_table(generating, requests_per_second=0.1, sizes=[4], requests=2_000, output_tokens=lengths)
    assert long.p50_seconds - short.p50_seconds == pytest.approx(0.01 * (np.median(lengths) - 1), abs=0.02)
    assert long.saturation_requests_per_second < short.saturation_requests_per_second / 10


def row(size: int, throughput: float, p99: float) -> BatchSizeRow:
    return BatchSizeRow(
        batch_size=size, saturation_requests_per_second=throughput, p50_seconds=p99 / 2, p99_seconds=p99,
        mean_batch_size=1.0, utilization=0.5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "slo", "best"),
    [
        pytest.param([row(1, 10, 0.1), row(2, 20, 0.2), row(4, 30, 0.4)], 0.2, 2, id="at-the-slo-is-kept"),
        pytest.param([row(1, 10, 0.1), row(2, 10, 0.1)], 1.0, 1, id="of-equals-the-smaller"),
        pytest.param([row(1, 10, math.inf), row(2, 20, 0.3)], 0.4, 2, id="a-saturated-size-is-not-taken"),
    ],
)
def test_the_best_size_is_the_fastest_within_the_slo(rows: list[BatchSizeRow], slo: float, best: int) -> None:
    assert best_batch_size(rows, p99_seconds=slo).batch_size == best


def test_an_slo_out_of_reach_says_what_would_be_in_reach() -> None:
    with pytest.raises(BadInput, match=r"p99_seconds: was 0.05, must be 0.1 or more at this load: batch size 1"):
        best_batch_size([row(1, 10, 0.1), row(2, 20, 0.2)], p99_seconds=0.05)
    with pytest.raises(BadInput, match="every batch size is saturated; 2 answers the most, 20 a second"):
        best_batch_size([row(1, 10, math.inf), row(2, 20, math.inf)], p99_seconds=0.05)


def test_the_references_table_is_what_its_code_gives() -> None:
    """docs/reference/servers.md: the example's rows as printed, and the size that it says is best."""
    text = (Path(__file__).parents[3] / "docs" / "reference" / "servers.md").read_text(encoding="utf-8")
    printed = re.findall(r"^\| \d+ \| [\d,]+ \| .* ms \| .* ms \| .* \| \d+% \|$", text, re.MULTILINE)
    example = text[text.index("rows = batch_size_table") :].partition("```")[0]
    names: dict[str, Any] = {"batch_size_table": batch_size_table, "best_batch_size": best_batch_size, "profile": T4}
    exec(example, names)  # noqa: S102 - our own documentation
    assert printed == [
        f"| {one.batch_size} | {one.saturation_requests_per_second:,.0f} | {one.p50_seconds * 1e3:.1f} ms "
        f"| {one.p99_seconds * 1e3:.1f} ms | {one.mean_batch_size:.2f} | {one.utilization:.0%} |"
        for one in names["rows"]
    ]
    assert best_batch_size(names["rows"], p99_seconds=0.06).batch_size == 8
