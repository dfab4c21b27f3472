"""Pages of Triton, TorchServe and NIM read by the adapter's own parser and rules; counters against the requests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from adapter.sources.attribution import attribute
from adapter.sources.catalogue import CATALOGUE, RULES
from adapter.sources.derive.page import Page
from adapter.sources.derive.values import Histories, series_of
from adapter.sources.exposition import parse_exposition
from adapter.sources.page_parser import PageLimits, PageParser, SeriesBudget
from adapter.sources.rule import Rule, reduce, series_names
from adapter.sources.series import PodKey
from adapter.sources.series_cache import SeriesCache
from adapter.sources.targets import Target
from policies.capacity.profile import PROFILES
from simulations.batching import BatchingEngine, BatchProfile, TorchServe, Triton
from simulations.batching.nim_page import nim_page
from simulations.batching.torchserve_page import TORCHSERVE_SERIES, torchserve_page, torchserve_table
from simulations.batching.triton_page import TRITON_SERIES, triton_page, triton_table
from simulations.batching.utilization import UtilizationSampler
from simulations.exporter import vllm_series
from simulations.fleet import Fleet
from simulations.request_rows import REJECTED, SERVED
from simulations.scenario import Scenario
from simulations.trace import Trace

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"
NS = 1_000_000_000
PROFILE = BatchProfile(name="p", base_seconds=0.02, per_item_seconds=0.005, source="made up")
POD = PodKey("default", "server-0")


def trace(seconds: float, rate: float, seed: int = 7) -> Trace:
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, round(seconds * rate)))
    ones = np.ones(len(arrivals), np.int32)
    return Trace("test", 0, arrivals, 200 * ones, 20 * ones)


def started(server: Any, rate: float = 100.0) -> BatchingEngine:
    engine = BatchingEngine(server, PROFILE, trace(180, rate))
    engine.open(engine.add_server(0))
    return engine


def triton() -> tuple[BatchingEngine, Callable[[float], str]]:
    engine, sampler = started(Triton(max_batch_size=8, max_queue_delay_microseconds=5_000)), UtilizationSampler()

    def at(now: float) -> str:
        engine.advance(now)
        return triton_page(engine, 0, model="resnet50", gpu_utilization=sampler.sample(engine, 0, now))

    return engine, at


def torchserve() -> tuple[BatchingEngine, Callable[[float], str]]:
    engine, sampler = started(TorchServe(batch_size=8, max_batch_delay=5)), UtilizationSampler()

    def at(now: float) -> str:
        engine.advance(now)
        share = sampler.sample(engine, 0, now)
        return torchserve_page(engine, 0, model="resnet50", hostname=POD.name, gpu_utilization=share)

    return engine, at


def nim() -> tuple[Any, Callable[[float], str]]:
    fleet = Fleet(Scenario(trace=trace(180, 2.0), profile=PROFILES["llama-3.1-8b-fp8-l4"], initial_replicas=1))

    def at(now: float) -> str:
        fleet.advance(now)
        return nim_page(fleet, fleet.pods[0])

    return fleet, at


SERVERS = {"triton": triton, "torchserve": torchserve, "nim": nim}


def rule_for(name: str) -> Rule:
    (found,) = (rule for rule in RULES if name in (rule.name, *rule.aliases))
    return found


def pod_value(rule: Rule, page_at: Callable[[float], str]) -> float:
    """The pod's value after scrapes every 15 s for two minutes, as the adapter works it out."""
    histories, cache = Histories(), SeriesCache(limit=1000)
    cache.want(frozenset(series_names(rule.value)))
    target = Target(url="http://10.0.0.7:8000/metrics", role="pod", owner=POD)
    values: list[float] = []
    for second in range(15, 121, 15):
        parser = PageParser(
            cache, PageLimits(series=100, labels_per_series=64, label_value_length=256), SeriesBudget(1000)
        )
        parser.feed(page_at(float(second)))
        parsed = parser.finish(is_complete=True)
        heads = {head.labels for samples in parsed.samples.values() for head in samples}
        page = Page(
            samples=parsed.samples, times=parsed.times, owners=attribute(heads, target=target, pods={POD}),
            cut=parsed.cut, pod=POD, at_ns=second * NS,
        )  # fmt: skip
        values = [one.value for one in series_of(rule, page, histories) if one.value is not None]
    assert values, rule.name
    return reduce(rule.reducer, values)


@pytest.mark.parametrize("server", SERVERS)
def test_every_pods_metric_of_the_example_hpa_has_a_value_on_the_simulated_page(server: str) -> None:
    hpa = yaml.safe_load((EXAMPLES / f"hpa-{server}.yaml").read_text())
    names = [one["pods"]["metric"]["name"] for one in hpa["spec"]["metrics"] if one["type"] == "Pods"]
    assert names
    for name in names:
        value = pod_value(rule_for(name), SERVERS[server]()[1])
        assert 0 < value < 1e6, f"{name}: {value}"


@pytest.mark.parametrize(("server", "metric", "rate"), [
    ("triton", "nv_inference_requests_per_second", 100.0),
    ("torchserve", "torchserve_requests_per_second", 100.0),
    ("nim", "nim_requests_per_second", 2.0),
])  # fmt: skip
def test_the_adapters_rate_is_the_demands(server: str, metric: str, rate: float) -> None:
    """60 s of Poisson arrivals: within 4 standard deviations, sqrt(60 x rate) / 60."""
    assert pod_value(rule_for(metric), SERVERS[server]()[1]) == pytest.approx(rate, abs=4 * (60 * rate) ** 0.5 / 60)


@pytest.mark.parametrize("server", SERVERS)
def test_names_and_types_are_those_of_the_catalogue(server: str) -> None:
    """What the catalogue does not list is no series that it could mistake for another."""
    known = {name: metric.kind for metric in CATALOGUE for name in metric.spellings}
    page = SERVERS[server]()[1](60.0)
    kinds = dict(line.split()[2:4] for line in page.splitlines() if line.startswith("# TYPE"))
    shown = {sample.name for sample in parse_exposition(page)}
    assert {name: kind for name, kind in kinds.items() if name in known} == {
        name: known[name] for name in kinds if name in known
    }
    for name in shown:
        assert name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") in kinds or name in kinds
    expected = {metric.name for metric in CATALOGUE if metric.system == server}
    assert len(expected & kinds.keys()) >= 3


def test_tritons_counters_are_the_sums_over_what_was_served() -> None:
    engine = started(Triton(max_batch_size=4, max_queue_delay_microseconds=2_000, max_queue_size=6), rate=150.0)
    engine.advance(1e4)
    rows = np.concatenate([piece.copy() for piece in engine.take()])
    served = rows[rows["outcome"] == SERVED]
    refused = int((rows["outcome"] == REJECTED).sum())
    assert refused > 100
    queue_ns = np.round((served["last_token"] - served["enqueued"]) * NS).astype(np.int64)
    request_ns = np.round((served["finish"] - served["enqueued"]) * NS).astype(np.int64)
    table = {name: int(values[0]) for name, values in triton_table(engine, [0]).items()}
    assert table == {
        "nv_inference_request_success": len(served),
        "nv_inference_request_failure": refused,
        "nv_inference_count": len(served),
        "nv_inference_exec_count": len(np.unique(served["last_token"])),
        "nv_inference_request_duration_us": int(request_ns.sum()) // 1000,
        "nv_inference_queue_duration_us": int(queue_ns.sum()) // 1000,
        "nv_inference_compute_input_duration_us": 0,
        "nv_inference_compute_infer_duration_us": int((request_ns - queue_ns).sum()) // 1000,
        "nv_inference_compute_output_duration_us": 0,
        "nv_inference_pending_request_count": 0,
    }
    page = {
        (one.name, one.labels.get("reason")): one.value
        for one in parse_exposition(triton_page(engine, 0, model="m", gpu_utilization=0.25))
    }
    assert {name for name, _ in page} == TRITON_SERIES
    assert page["nv_inference_request_failure", "REJECTED"] == refused
    assert page["nv_gpu_utilization", None] == 0.25


def test_torchserves_counters_are_the_sums_over_what_was_answered() -> None:
    engine = started(TorchServe(batch_size=4, max_batch_delay=3, job_queue_size=10), rate=150.0)
    engine.advance(1e4)
    rows = np.concatenate([piece.copy() for piece in engine.take()])
    served = rows[rows["outcome"] == SERVED]
    queue_ns = np.round((served["last_token"] - served["enqueued"]) * NS).astype(np.int64)
    request_ns = np.round((served["finish"] - served["enqueued"]) * NS).astype(np.int64)
    last = served[served["finish"] == served["finish"].max()][-1]
    table = {name: float(values[0]) for name, values in torchserve_table(engine, [0]).items()}
    assert np.isnan(table.pop("Requests4XX"))
    assert table == {
        "ts_inference_requests_total": len(rows),
        "ts_inference_latency_microseconds": int(request_ns.sum()) / 1000,
        "ts_queue_latency_microseconds": int(queue_ns.sum()) / 1000,
        "QueueTime": int((last["last_token"] - last["enqueued"]) * 1000),
        "Requests2XX": len(served),
        "Requests5XX": len(rows) - len(served),
    }
    assert table["Requests5XX"] > 100


def test_an_idle_torchserve_shows_no_counter_and_an_idle_triton_zeros() -> None:
    """A series without an event is not there, which is not 0."""
    idle = BatchingEngine(TorchServe(), PROFILE, trace(1, 10))
    idle.add_server(0)
    page = torchserve_page(idle, 0, model="m", hostname="h", gpu_utilization=0.0)
    assert {sample.name for sample in parse_exposition(page)} == {"GPUUtilization"}
    assert {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")} == TORCHSERVE_SERIES
    idle = BatchingEngine(Triton(), PROFILE, trace(1, 10))
    idle.add_server(0)
    samples = parse_exposition(triton_page(idle, 0, model="m", gpu_utilization=None))
    assert {sample.value for sample in samples} == {0.0}


def test_utilization_is_the_share_of_the_interval_in_which_a_batch_ran() -> None:
    """One request each second, 25 ms a batch: 2.5 %. Another server in the row begins anew."""
    ones = np.ones(10, np.int32)
    engine = BatchingEngine(Triton(), PROFILE, Trace("t", 0, np.arange(10) + 0.5, ones, ones))
    engine.open(engine.add_server(0))
    sampler = UtilizationSampler()
    assert sampler.sample(engine, 0, 0.0) == 0.0
    engine.advance(4.0)
    assert sampler.sample(engine, 0, 4.0) == pytest.approx(0.025)
    engine.advance(4.51)
    assert sampler.sample(engine, 0, 4.51) == pytest.approx(0.01 / 0.51), "the batch under way counts so far"


def test_nims_page_says_what_vllms_server_says() -> None:
    fleet, at = nim()
    samples = {(one.name, one.labels.get("finished_reason")): one.value for one in parse_exposition(at(60.0))}
    vllm = vllm_series(fleet, fleet.pods[0])
    for name, of_vllm in (
        ("gpu_cache_usage_perc", "vllm:kv_cache_usage_perc"),
        ("num_requests_running", "vllm:num_requests_running"),
        ("num_requests_waiting", "vllm:num_requests_waiting"),
        ("prompt_tokens_total", "vllm:prompt_tokens_total"),
        ("generation_tokens_total", "vllm:generation_tokens_total"),
        ("request_success_total", "vllm:request_success_total"),
    ):
        assert samples[name, None] == vllm[of_vllm], name
    begun = vllm["vllm:request_success_total"] + vllm["vllm:num_requests_running"]
    assert 0 < vllm["vllm:request_success_total"] <= (samples["time_to_first_token_seconds_count", None] or 0) <= begun
    assert samples["request_finish_total", "stop"] == vllm["vllm:request_success_total"]
    assert samples["num_request_max", None] == fleet.profile.max_num_seqs
    assert samples["e2e_request_latency_seconds_count", None] == vllm["vllm:request_success_total"]
    assert not any(name.startswith("vllm:") for name, _ in samples)
