"""A small cluster in memory for the tests of the two APIs: two vLLM pods, one of another tenant, one GPU exporter."""

from adapter.api.served import Served
from adapter.names.on_demand import OnDemand
from adapter.names.resolve import NameIndex
from adapter.names.view import Place
from adapter.sources.pods import PodInfo
from adapter.sources.rule import Latest, ObjectLabel, Rate, Rule, WhenStale
from adapter.sources.series import NS_PER_SECOND, PodKey, Series
from adapter.store import Store, Table

NOW_NS = 1_800_000_000 * NS_PER_SECOND
A, B, LOADING, THEIRS = PodKey("llm", "vllm-a"), PodKey("llm", "vllm-b"), PodKey("llm", "vllm-c"), PodKey("team-b", "x")
OWNERS = (("replicasets.apps", "vllm-5d4f"), ("deployments.apps", "vllm"))


def pods() -> dict[PodKey, PodInfo]:
    """The pods that exist."""
    vllm = {"labels": {"app": "vllm"}, "owners": OWNERS, "services": ("vllm",)}
    return {
        A: PodInfo(ready=True, node="gpu-1", **vllm),
        B: PodInfo(ready=True, node="gpu-2", **vllm),
        LOADING: PodInfo(ready=False, node="gpu-2", **vllm),
        THEIRS: PodInfo(labels={"app": "vllm"}, ready=True, node="gpu-1"),
    }


def series(pod: PodKey | None, value: float | None, *, age: float = 5, **labels: str) -> Series:
    """One series, `age` seconds old."""
    at_ns = NOW_NS - round(age * NS_PER_SECOND)
    return Series(labels, value, at_ns, pod, why="" if value is not None else "NaN")


def rule(name: str = "queue", **settings: object) -> Rule:
    return Rule(name=name, **{"value": Latest((name,)), **settings})  # type: ignore[arg-type]


def served(*tables: tuple[Rule, list[Series]], on_demand: OnDemand | None = None, **settings: object) -> Served:
    """A Served over these tables."""
    store = Store()
    store.set_pods(pods())
    for one, found in tables:
        store.publish(Table(one, found, source="scrape", lag_seconds=0))
    return Served(
        store=store,
        names=NameIndex([one for one, _ in tables]),
        place=Place(project="p", location="l", cluster="c"),
        why_empty=lambda _: ("its sources gave nothing", False),
        on_demand=on_demand,
        **settings,  # type: ignore[arg-type]
    )


QUEUE = rule(aliases=("queue_alias",))
UTILIZATION = rule("DCGM_FI_DEV_GPU_UTIL", reducer="mean", across="mean")
POOL = rule(
    "pool_queue",
    reducer="mean",
    objects=(ObjectLabel(resource="inferencepools.inference.networking.k8s.io", label="name", kind="InferencePool"),),
)
RATE = rule("requests_per_second", value=Rate(("requests_total",), 60))
HELD = rule("held", when_stale=WhenStale(policy="hold", hold_seconds=60))
REFUSED = rule("refused", when_stale=WhenStale(policy="unavailable"))
SUMMED_WITHOUT = rule("partial", when_stale_summed=WhenStale(policy="omit"))
