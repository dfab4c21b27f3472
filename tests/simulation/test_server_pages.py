"""What the pipeline answers over fleets of other servers, against the adapter reading their pages' text."""

from collections.abc import Callable

import numpy as np
import pytest

from adapter.sources.attribution import attribute
from adapter.sources.derive.page import Page
from adapter.sources.derive.values import Histories, series_of
from adapter.sources.page_parser import PageLimits, PageParser, SeriesBudget
from adapter.sources.rule import Rule, reduce, series_names
from adapter.sources.series import PodKey
from adapter.sources.series_cache import SeriesCache
from adapter.sources.targets import Target
from policies.capacity.profile import PROFILES
from policies.snapshot import ExternalMetric, MetricQuery, PodMetrics
from simulations.batching import BatchingEngine, BatchProfile, FixedBatch, TorchServe, Triton
from simulations.batching.nim_page import nim_page
from simulations.batching.torchserve_page import torchserve_page
from simulations.batching.triton_page import triton_page
from simulations.exporter import GpuSampler, vllm_page
from simulations.fleet import Fleet
from simulations.pipeline import MetricPipeline, is_answered
from simulations.rule_values import rule_names, rule_over
from simulations.scenario import MetricFaults, Scenario
from simulations.server_kind import BatchedModel, ServerKind
from simulations.server_pages import ServerPages, pod_series
from simulations.trace import Trace

PROFILE = BatchProfile(name="p", base_seconds=0.02, per_item_seconds=0.005, source="made up")
TRITON = BatchedModel(server=Triton(max_batch_size=4, max_queue_size=12), profile=PROFILE)
TORCHSERVE = BatchedModel(server=TorchServe(batch_size=4, max_batch_delay=5), profile=PROFILE)
FIXED = BatchedModel(server=FixedBatch(batch_size=4), profile=PROFILE)


def fleet_of(kind: ServerKind, rate: float, faults: MetricFaults | None = None, until: float = 200.0) -> Fleet:
    arrivals = np.cumsum(np.random.default_rng(3).exponential(1 / rate, round(until * rate)))
    ones = np.ones(len(arrivals), np.int32)
    return Fleet(
        Scenario(
            trace=Trace("test", 0, arrivals, 200 * ones, 20 * ones),
            profile=PROFILES["llama-3.1-8b-fp8-l4"],
            initial_replicas=1,
            metrics=faults or MetricFaults(),
            server=kind,
        )
    )


def triton_text(fleet: Fleet) -> str:
    assert isinstance(fleet.engine, BatchingEngine)
    return triton_page(fleet.engine, 0, model="m", gpu_utilization=None)


def torchserve_text(fleet: Fleet) -> str:
    assert isinstance(fleet.engine, BatchingEngine)
    return torchserve_page(fleet.engine, 0, model="m", hostname="h", gpu_utilization=None)


PAGES: dict[str, tuple[ServerKind, float, Callable[[Fleet], str]]] = {
    "triton": (TRITON, 120.0, triton_text),
    "torchserve": (TORCHSERVE, 70.0, torchserve_text),
    "nim": ("nim", 2.0, lambda fleet: nim_page(fleet, fleet.pods[0])),
    "vllm": ("vllm", 2.0, lambda fleet: vllm_page(fleet, fleet.pods[0])),
}

COUNTED = {
    "triton": {"avg_time_queue_us", "triton_requests_per_second", "triton:queue_compute:ratio"},
    "torchserve": {"torchserve_requests_per_second", "ts_queue_latency_microseconds_per_request", "QueueTime"},
    "nim": {"nim_requests_per_second", "num_requests_running", "num_request_max"},
    "vllm": {"vllm:requests_per_second", "vllm:num_requests_running_and_waiting", "vllm_queue_size"},
}
"""Names that must be among those compared."""


class AdapterReader:
    """The adapter's own way from a page's text to a pod's values."""

    def __init__(self, rules: dict[str, Rule]) -> None:
        self._rules = rules
        self._histories = {name: Histories() for name in rules}
        self._cache = SeriesCache(limit=1000)
        self._cache.want(frozenset(series for rule in rules.values() for series in series_names(rule.value)))

    def values(self, text: str, at_ns: int) -> dict[str, float]:
        pod = PodKey("default", "server-0")
        limits = PageLimits(series=1000, labels_per_series=64, label_value_length=256)
        parser = PageParser(self._cache, limits, SeriesBudget(1000))
        parser.feed(text)
        parsed = parser.finish(is_complete=True)
        heads = {head.labels for samples in parsed.samples.values() for head in samples}
        target = Target(url="http://10.0.0.7:8000/metrics", role="pod", owner=pod)
        page = Page(
            samples=parsed.samples, times=parsed.times, owners=attribute(heads, target=target, pods={pod}),
            cut=parsed.cut, pod=pod, at_ns=at_ns,
        )  # fmt: skip
        found = {}
        for name, rule in self._rules.items():
            series = [one.value for one in series_of(rule, page, self._histories[name]) if one.value is not None]
            if series:
                found[name] = reduce(rule.reducer, series)
        return found


@pytest.mark.parametrize("server", PAGES)
def test_every_rule_gives_what_the_adapter_makes_of_the_page(server: str) -> None:
    """For three minutes of scrapes, every name that the pipeline answers; GPU utilization has a test of its own."""
    kind, rate, text_of = PAGES[server]
    fleet = fleet_of(kind, rate)
    series = pod_series(kind) - {"nv_gpu_utilization", "GPUUtilization", "DCGM_FI_DEV_GPU_UTIL"}
    rules = {name: rule for name in rule_names(series) if (rule := rule_over(name, series)) is not None}
    assert COUNTED[server] <= rules.keys()
    queries = {name: MetricQuery(type="Pods", name=name) for name in rules}
    pipeline, adapter = MetricPipeline(fleet, queries.values()), AdapterReader(rules)
    compared: set[str] = set()
    for second in range(0, 181, 15):
        fleet.advance(float(second))
        pipeline.scrape()
        expected = adapter.values(text_of(fleet), fleet.now_ns)
        observed = pipeline.snapshot(queries.values()).observations
        seen = {
            name: answer.samples["vllm-0000"].value_milli / 1000
            for name, query in queries.items()
            if isinstance(answer := observed[query], PodMetrics)
        }
        assert seen.keys() == expected.keys(), f"at {second} s"
        for name, value in expected.items():
            assert seen[name] == pytest.approx(value, abs=0.001 + 1e-9), f"{name} at {second} s"
        compared |= {name for name, value in seen.items() if value > 0}
    assert COUNTED[server] - {"vllm_queue_size"} <= compared, "compared only where they are 0 or absent"


@pytest.mark.parametrize("kind", [TRITON, TORCHSERVE], ids=["triton", "torchserve"])
def test_the_servers_own_gpu_utilization_is_dcgms_over_its_own_interval(kind: BatchedModel) -> None:
    """Scraped every minute both cover the same span. Triton says a ratio, TorchServe a percentage, DCGM whole ones."""
    fleet = fleet_of(kind, 30.0)
    pages, gpus = ServerPages(fleet), GpuSampler()
    pages.read()
    gpus.sample(fleet)
    for second in (60.0, 120.0, 180.0):
        fleet.advance(second)
        (page,) = pages.read().values()
        gpus.sample(fleet)
        own = 100 * page["nv_gpu_utilization"] if kind is TRITON else page["GPUUtilization"]
        assert 0 < own < 100
        assert own == pytest.approx(gpus.percent()["vllm-0000"], abs=0.5)


def test_torchserves_utilization_stays_for_a_minute_and_tritons_moves() -> None:
    for kind, name, changes in ((TORCHSERVE, "GPUUtilization", 2), (TRITON, "nv_gpu_utilization", 11)):
        fleet = fleet_of(kind, 30.0)
        pages = ServerPages(fleet)
        seen = []
        for second in range(0, 166, 15):
            fleet.advance(float(second))
            (page,) = pages.read().values()
            seen.append(page.get(name))
        assert seen[0] is None, "before the first interval nothing is known"
        assert len({value for value in seen if value is not None}) == changes


def test_a_new_torchserve_pod_has_no_rate_and_a_new_triton_pod_waits_0_us() -> None:
    """TorchServe shows no counter before the first request; Triton shows zeros, and an idle wait is 0 by its rule."""
    for kind, name, idle in ((TORCHSERVE, "torchserve_requests_per_second", None), (TRITON, "avg_time_queue_us", 0.0)):
        fleet = fleet_of(kind, 0.001, until=4_000)
        query = MetricQuery(type="Pods", name=name)
        pipeline = MetricPipeline(fleet, [query])
        assert fleet.trace.duration_seconds > 100
        for second in (0, 15, 30):
            fleet.advance(float(second))
            pipeline.scrape()
        answer = pipeline.snapshot([query]).observations[query]
        value = answer.samples["vllm-0000"].value_milli if isinstance(answer, PodMetrics) else None
        assert value == idle, f"{name}: {answer}"


def test_an_exporter_that_repeats_itself_shows_no_requests() -> None:
    """Every scrape stale: the counter stands still, so the rate is 0, as the adapter would see it."""
    fleet = fleet_of(TRITON, 30.0, MetricFaults(stale_probability=1.0))
    query = MetricQuery(type="External", name="triton_requests_per_second")
    pipeline = MetricPipeline(fleet, [query])
    for second in (15, 30, 45):
        fleet.advance(float(second))
        pipeline.scrape()
    assert pipeline.snapshot([query]).observations[query] == ExternalMetric((0,))


@pytest.mark.parametrize(
    ("kind", "name", "is_there"),
    [
        pytest.param("vllm", "vllm:num_preemptions_total", True, id="vllm-counts-preemptions"),
        pytest.param("nim", "vllm:num_preemptions_total", False, id="nim-does-not"),
        pytest.param("nim", "num_requests_waiting", True, id="nim-s-spelling"),
        pytest.param("nim", "vllm:num_requests_waiting", True, id="the-adapter-serves-it-by-both"),
        pytest.param("vllm", "avg_time_queue_us", False, id="vllm-is-no-triton"),
        pytest.param(TRITON, "avg_time_queue_us", True, id="triton"),
        pytest.param(TRITON, "AVG_TIME_QUEUE_US", True, id="in-any-letter-case"),
        pytest.param(TRITON, "vllm:num_requests_waiting", False, id="triton-is-no-vllm"),
        pytest.param(TORCHSERVE, "torchserve_requests_per_second", True, id="torchserve"),
        pytest.param(FIXED, "kubernetes.io|container|accelerator|duty_cycle", True, id="every-gpu-has-a-duty-cycle"),
        pytest.param(FIXED, "nv_inference_count", False, id="fixed-batches-show-nothing"),
        pytest.param("vllm", "vllm:e2e_request_latency_seconds_p95", False, id="no-rule-over-buckets"),
    ],
)
def test_which_metrics_of_pods_there_are(kind: ServerKind, name: str, is_there: bool) -> None:
    assert is_answered(MetricQuery(type="Pods", name=name), kind) == is_there


def test_of_the_workload_a_batching_server_tells_nothing_but_the_gateway_and_the_deployment() -> None:
    def has(name: str, kind: ServerKind) -> bool:
        return is_answered(MetricQuery(type="External", name=name), kind)

    for name, of_triton in (
        ("leadtime:gateway_queue", True),
        ("kube_deployment_status_replicas_ready", True),
        ("leadtime:num_requests_outstanding", False),
        ("inference_pool_average_queue_size", False),
    ):
        assert has(name, "vllm")
        assert has(name, "nim")
        assert has(name, TRITON) == of_triton
    queries = [
        MetricQuery(type="External", name=name)
        for name in ("leadtime:gateway_queue", "kube_deployment_status_replicas_ready")
    ]
    fleet = fleet_of(TRITON, 30.0)
    fleet.advance(15.0)
    pipeline = MetricPipeline(fleet, queries)
    pipeline.scrape()
    assert list(pipeline.snapshot(queries).observations.values()) == [ExternalMetric((0,)), ExternalMetric((1000,))]
