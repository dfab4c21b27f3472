"""docs/reference-figures.md: what it says is taken equals what the code holds, and its arithmetic is right."""

from pathlib import Path

import pytest

from adapter.sources.catalogue import find
from policies.baselines.hpa_presets import DutyCycleSpec
from policies.capacity.gpus import GPUS, Gpu
from policies.capacity.kv_cache import BLOCK_TOKENS, kv_blocks
from policies.capacity.measured import EFFICIENCY, LOGGED_KV_BLOCKS
from policies.capacity.models import MODELS, Model
from policies.capacity.profile import profile_named
from policies.capacity.step_time import step_time
from policies.hpa.spec import ControllerOptions
from policies.hpa.tolerance import Tolerances
from simulations.cluster.node_autoscaler import NodeAutoscaler
from simulations.cluster.node_pool import NodePool
from simulations.cluster.spot import Spot
from simulations.prices import MACHINES, machine_price
from simulations.start.presets import GKE_L4_RECORDED, NIM_L4
from simulations.start.probes import Probe, Probes
from simulations.start.transfer import Transfer

PAGE = " ".join((Path(__file__).parents[3] / "docs" / "reference-figures.md").read_text(encoding="utf-8").split())
"""With single spaces, so that a sentence may be broken anywhere."""

LLAMA, LLAMA_70B = MODELS["llama-3.1-8b"], MODELS["llama-3.1-70b"]
MIB, GIB, GB = 2**20, 2**30, 1e9


def says(*sentences: str) -> None:
    for sentence in sentences:
        assert sentence in PAGE, f"not in docs/reference-figures.md: {sentence}"


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_kv_bytes_of_a_context_are_those_of_the_models_table(model: Model) -> None:
    """From the shape, not from `kv_bytes_per_token`, which has to agree."""
    a_token = 2 * 2 * model.layers * model.kv_heads * model.head_size
    assert a_token == model.kv_bytes_per_token
    says(
        f"| `{model.name}` | 2 x 2 x {model.layers} x {model.kv_heads} x {model.head_size} | {a_token:,} "
        f"| {8_192 * a_token / GIB:.2f} GiB |"
    )


def test_the_wrong_kv_figures_are_explained_by_what_was_counted() -> None:
    assert 8_192 * LLAMA.kv_bytes_per_token == GIB
    assert 2_048 * LLAMA.kv_bytes_per_token == 256 * MIB
    of_all_heads = LLAMA.kv_bytes_per_token * LLAMA.attention_heads / LLAMA.kv_heads
    assert 8_192 * of_all_heads == 4 * GIB
    says("| 256 MB |", "for 2,048 tokens of Meta-Llama-3-8B", "| 4.0 GB | counts the 32 attention heads", "| 1.1 GB |")
    assert round(GIB / GB, 1) == 1.1


@pytest.mark.parametrize("gpu", GPUS.values(), ids=lambda gpu: gpu.short_name)
def test_a_gpus_peak_memory_and_batch_limits_are_those_of_the_gpu_table(gpu: Gpu) -> None:
    at_peak = 2 * LLAMA.layer_parameters / gpu.flops * 1e6
    sparse = {"l4": "242", "l40s": "733", "a100": "624", "h100": "1,979"}.get(gpu.short_name, "-")
    says(
        f"| {gpu.name} | {sparse} | {gpu.flops / 1e12:.2f} | {at_peak:.1f} |",
        f"| {gpu.memory_bytes // MIB:,} | {gpu.memory_bytes / GB:.1f} | {gpu.memory_bytes / GIB:.1f} |",
        f"| {gpu.name} | {gpu.max_num_batched_tokens:,} | {gpu.max_num_seqs:,} |",
    )
    if sparse != "-":
        assert gpu.flops / 1e12 == pytest.approx(float(sparse.replace(",", "")) / 2, rel=0.013), "dense is half of it"


@pytest.mark.parametrize(
    ("multiprocessors", "clock_ghz", "teraflops", "sentence"),
    [
        pytest.param(58, 2.04, 121.2, "that the L4's 121 are (58 SMs, 2.04 GHz)", id="l4"),
        pytest.param(60, 2.04, 125.3, "125.3 is published too (hmc-tech.com): 60 SMs", id="the-whole-chip-of-the-l4"),
        pytest.param(142, 2.52, 366.4, "142 SMs give 366.4 at the L40S's 2.52 GHz", id="l40s"),
        pytest.param(142, 2.49, 362.1, "362.1 at the 2.49 GHz of the L40", id="l40s-at-the-clock-of-the-l40"),
    ],
)
def test_1024_flops_per_multiprocessor_and_clock_explain_the_ada_figures(
    multiprocessors: int, clock_ghz: float, teraflops: float, sentence: str
) -> None:
    assert round(multiprocessors * 1_024 * clock_ghz / 1_000, 1) == teraflops
    says(sentence)


def test_the_l40s_two_figures_are_a_little_apart() -> None:
    more = 366.4e12 / GPUS["l40s"].flops - 1
    says(f"the other would be {100 * more:.1f} % more", f"733 / 2 is {733 / 2}")
    assert GPUS["h100"].bandwidth_bytes_per_second == 3.35e12
    says("the SXM module, with 3.35 TB/s")


def test_prefill_is_above_the_hardware_limit() -> None:
    peak = 2 * LLAMA.layer_parameters / GPUS["a100"].flops * 1e6
    taken = step_time(LLAMA, GPUS["a100"], 1, EFFICIENCY).per_prefill_token_seconds * 1e6
    shipped = profile_named("llama-3.1-8b-a100").per_prefill_token_seconds * 1e6
    assert shipped == pytest.approx(taken, rel=0.01)
    assert taken > peak
    blis = 0.152128 * peak
    says(
        f"2 x {LLAMA.layer_parameters / 1e9:.2f} billion parameters at the peak | {peak:.1f} | 100 % |",
        f"| {blis:.1f} | {peak / blis:.0%} |".replace("%", " %"),
        f"| 65.9 | {peak / 65.9:.0%} |".replace("%", " %"),
        f"| taken: {EFFICIENCY.prefill_compute:.0%} of the peak | {taken:.1f} |".replace("%", " %", 1),
    )


def test_bliss_blocks_do_not_fit_the_memory_and_ours_do() -> None:
    gpu, ranks = GPUS["h100"], 4
    memory = ranks * gpu.memory_bytes
    a_block = BLOCK_TOKENS * LLAMA_70B.kv_bytes_per_token
    logged = LOGGED_KV_BLOCKS["llama-3.1-70b", "h100", ranks]
    assert logged * a_block < memory - LLAMA_70B.weight_bytes
    assert 121_801 * a_block > memory
    assert 121_801 / ranks == pytest.approx(logged, rel=0.001)
    assert profile_named("llama-3.1-70b-h100-tp4").kv_blocks == logged
    says(
        f"| 121,801 | {121_801 * a_block / GB:.1f} GB, in {memory / GB:.1f} GB of memory |",
        f"| vLLM's log | {logged:,} | {logged * a_block / GB:.1f} GB |",
        f"{logged:,}, formula {kv_blocks(LLAMA_70B, gpu, ranks):,}",
        f"121,801 / 4 is {121_801 / 4:,.0f}",
    )


def test_prices_are_those_of_the_machines() -> None:
    l4, a100, h100 = (machine_price(name) for name in ("g2-standard-4", "a2-ultragpu-1g", "a3-highgpu-1g"))
    eight_h100 = machine_price("a3-highgpu-8g").usd_per_hour
    says(
        f"**{l4.usd_per_hour:.4f}** | `g2-standard-4`",
        f"**{a100.usd_per_hour:.4f}** | `a2-ultragpu-1g`",
        f"**{h100.usd_per_hour:.4f}** | an eighth of `a3-highgpu-8g` ({eight_h100:.4f})",
    )
    assert 8 * h100.usd_per_hour == pytest.approx(eight_h100)
    four_vcpus = machine_price("g2-standard-8").usd_per_hour - l4.usd_per_hour
    assert round(l4.usd_per_hour - four_vcpus, 2) == 0.56
    a100_40 = machine_price("a2-highgpu-1g").usd_per_hour
    assert round(a100_40 - 0.7395, 2) == 2.93
    says("| L4 | 0.56 |", f"| A100 80 GB | 2.93 | the line of *another* GPU, the A100 40 GB: {a100_40:.4f}")
    for other in ("0.60, 0.73", "4.68"):
        says(f"| {other} |")
        for price in other.split(", "):
            assert all(f"{machine_price(name).usd_per_hour:.2f}" != price for name in MACHINES), price


def test_spot_discounts_are_those_of_the_machines() -> None:
    google = {
        name: price
        for name, machine in MACHINES.items()
        for region, price in machine.prices.items()
        if region == "us-central1"
    }
    discounts = {name: price.spot_discount or 0.0 for name, price in google.items()}
    t4 = discounts.pop("n1-standard-4-t4")
    catalogue = google["g2-standard-4"].on_demand
    assert all(google[name].on_demand.source == catalogue.source for name in discounts)
    a3 = {name: discounts.pop(name) for name in list(discounts) if name.startswith("a3-")}
    own = google["a3-highgpu-1g"].spot
    assert own is not None
    assert list(a3.values()) == pytest.approx([a3["a3-highgpu-1g"]] * 4), "all are parts of one machine"
    says(
        f"| {100 * min(discounts.values()):.1f} to {100 * max(discounts.values()):.1f} % off, G2, A2 and A3 machines | "
        f"the catalogue of {catalogue.as_of}: taken for G2 and A2 |",
        f"| {100 * t4:.1f} % off, `n1-standard-4` with a T4 |",
        f"| {100 * (1 - 6.571 / 10.9791):.1f} % off, `a3-highgpu-1g` without SSD: 6.571 of 10.9791 | silybench-data at "
        f"9c6715ca0191, {own.as_of}: taken for A3 |",
        f"({own.usd_per_hour:.4f} for `a3-highgpu-1g`, {100 * a3['a3-highgpu-1g']:.1f} % off)",
        f"| {100 * (1 - 0.44371 / 0.73948):.1f} % off vCPUs and memory of `a2-highgpu-1g`, 0.44371 of 0.73948; "
        f"{100 * (1 - 0.36975 / 0.73948):.1f} % in another copy |",
        f"| {100 * (1 - 6.2607 / 10.4365):.1f} % off, a3-ultragpu-8g (H200), a GPU: 6.2607 of 10.4365 |",
    )


def test_the_notice_is_googles_default() -> None:
    spot = Spot()
    says(f"{spot.pod_grace_seconds:g} s for pods and {spot.notice_seconds:g} s for the node")
    assert (spot.preemptions_per_node_hour, spot.zone_events_per_hour) == (0.0, 0.0)


def test_starts_are_those_of_the_presets() -> None:
    recorded, nim = GKE_L4_RECORDED, NIM_L4
    read, warm_up = nim.start.read, nim.start.warm_up
    assert isinstance(read, Transfer)
    assert recorded.start.pull.median_seconds == nim.start.pull.median_seconds == 11.0
    says(
        f"`gke-l4-recorded`: {recorded.pool.provision.median_seconds:g} s",
        f"`nim-l4`: median {nim.pool.provision.median_seconds:g} s",
        f"a pool that says nothing: {NodePool(name='a', gpus_per_node=1, max_nodes=1).provision.median_seconds:g} s",
        f"max-node-provision-time, {NodeAutoscaler.cluster_autoscaler().max_node_provision_seconds:g} s",
        f"`nim-l4`: download {nim.start.download.median_seconds:g} s",
        f"`nim-l4`: {read.size_bytes / GB:.2f} GB at {read.bytes_per_second / 1e6:.0f} MB/s and "
        f"{warm_up.median_seconds:g} s of warm-up, {read.median_seconds + warm_up.median_seconds:.0f} s",
        f"20.2 GB in 11 s would be {20.2 * 8 / 11:.1f} Gbit/s",
    )


def test_a_startup_probe_kills_a_period_earlier_than_the_product_says() -> None:
    startup = Probes(startup=Probe(period_seconds=10, failure_threshold=30))
    killed = [startup.killed_at(probed_from=float(at), started_at=10.0, up_at=400.0) - 10.0 for at in range(11)]
    assert (min(killed), max(killed)) == (290.0, 299.0)
    assert startup.killed_at(probed_from=0.0, started_at=0.0, up_at=295.0) == 290.0
    says("30 x 10 = 300 s", "there are 29 periods: 290 s, and up to a period more")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("vllm:kv_cache_usage_perc", "ratio"),
        ("vllm:gpu_cache_usage_perc", "ratio"),
        ("gpu_cache_usage_perc", "ratio"),
        ("DCGM_FI_DEV_GPU_UTIL", "percent"),
        ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "ratio"),
        ("nv_gpu_utilization", "ratio"),
    ],
)
def test_names_and_units_are_those_of_the_adapters_catalogue(name: str, unit: str) -> None:
    found = find(name)
    assert found is not None
    assert found.metric.unit == unit
    says(f"`{name}`", f"`{found.current}`")


def test_what_the_hpas_tolerance_makes_of_a_percentage() -> None:
    """100 % is the most that a duty cycle can be."""
    default = ControllerOptions().tolerance
    tolerances = Tolerances(scale_down=default, scale_up=default)
    target = DutyCycleSpec().target_percent
    held = [percent for percent in range(101) if tolerances.is_within(percent / target)]
    never_up = [percent for percent in range(1, 101) if tolerances.is_within(100 / percent) or percent == 100]
    says(
        f"within 1 ± {default:g}",
        f"a target of {target:g} percent holds from {held[0]} to {held[-1]}",
        f"a target of {never_up[0]} or more never scales up, as 100 / {never_up[0]} is {100 / never_up[0]:.3f}",
        f"by {100 / target:.2f} with a target of {target:g}",
    )
