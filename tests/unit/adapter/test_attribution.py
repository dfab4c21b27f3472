"""Whose samples they are."""

from adapter.sources.attribution import Owner, attribute
from adapter.sources.page_parser import PageLimits, PageParser, SeriesBudget
from adapter.sources.series import PodKey
from adapter.sources.series_cache import SeriesCache
from adapter.sources.targets import Target

VLLM_0, VLLM_1, DCGM = PodKey("llm", "vllm-0"), PodKey("llm", "vllm-1"), PodKey("gpu", "dcgm-x")
PODS = {VLLM_0, VLLM_1, DCGM}
POD_PAGE = Target(url="http://10.0.0.7:8000/metrics", role="pod", owner=VLLM_0)
EXPORTER_PAGE = Target(url="http://10.0.0.3:9400/metrics", role="exporter", owner=DCGM)
UTIL, MEMORY, ACTIVE = "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED", "DCGM_FI_PROF_GR_ENGINE_ACTIVE"


def attributed(page: str, target: Target) -> list[tuple[Owner | None, str, float]]:
    """(owner, name, value) of every sample of the page."""
    cache = SeriesCache(limit=1000)
    cache.want(frozenset({UTIL, MEMORY, ACTIVE, "a"}))
    limits = PageLimits(series=1000, labels_per_series=64, label_value_length=1024)
    parser = PageParser(cache, limits, SeriesBudget(1000))
    parser.feed(page)
    samples = parser.finish(is_complete=True).samples
    owners = attribute({head.labels for heads in samples.values() for head in heads}, target=target, pods=PODS)
    return [(owners.get(head.labels), name, value) for name, heads in samples.items() for head, value in heads.items()]


def pods_of(page: str, target: Target = EXPORTER_PAGE) -> list[PodKey | None]:
    return [None if owner is None else owner.pod for owner, *_ in attributed(page, target)]


def reasons(page: str) -> list[tuple[str, str]]:
    """(pod, why it has no value of its own) of every owned sample."""
    found = attributed(page, EXPORTER_PAGE)
    return [(owner.pod.name, owner.why_not_attributable(name)) for owner, name, _ in found if owner is not None]


def test_each_gpu_belongs_to_the_pod_that_it_names_and_an_idle_one_to_nobody() -> None:
    page = (
        f'{UTIL}{{gpu="0",UUID="GPU-a",container="vllm",namespace="llm",pod="vllm-0"}} 40\n'
        f'{UTIL}{{gpu="1",UUID="GPU-b",container="vllm",namespace="llm",pod="vllm-0"}} 80\n'
        f'{UTIL}{{gpu="2",UUID="GPU-c",container="vllm",namespace="llm",pod="vllm-1"}} 10\n'
        f'{UTIL}{{gpu="3",UUID="GPU-d",container="",namespace="",pod=""}} 0\n'
        f'{UTIL}{{gpu="4",UUID="GPU-e"}} 0\n'
    )
    assert pods_of(page) == [VLLM_0, VLLM_0, VLLM_1, None, None]
    assert reasons(page) == [("vllm-0", ""), ("vllm-0", ""), ("vllm-1", "")]


def test_behind_prometheus_the_workload_is_in_the_exported_labels() -> None:
    line = f'{UTIL}{{gpu="0",exported_namespace="llm",exported_pod="vllm-0",namespace="gpu",pod="dcgm-x"}} 7\n'
    ((owner, _, value),) = attributed(line, EXPORTER_PAGE)
    assert (owner, value) == (Owner(VLLM_0, {"gpu": "0"}), 7.0)


def test_the_exporters_own_pod_never_gets_the_gpus() -> None:
    assert pods_of(f'{UTIL}{{gpu="0",namespace="gpu",pod="dcgm-x"}} 7\n') == [None]
    assert pods_of(f'{UTIL}{{gpu="0",exported_pod="",namespace="gpu",pod="dcgm-x"}} 7\n') == [None]


def test_a_pod_that_does_not_exist_gets_nothing() -> None:
    assert pods_of(f'{UTIL}{{namespace="llm",pod="deleted"}} 7\n') == [None]
    gone = Target(url="http://10.0.0.9:8000/metrics", role="pod", owner=PodKey("llm", "deleted"))
    assert pods_of('a{engine="0"} 7\n', gone) == [None]


def test_a_pods_page_speaks_of_that_pod_whatever_its_labels_say() -> None:
    ((owner, *_),) = attributed('a{pod="liar",namespace="llm",exported_pod="vllm-0",engine="0"} 3\n', POD_PAGE)
    assert owner == Owner(VLLM_0, {"pod": "liar", "engine": "0"}), "only what repeats the pod is dropped"


def test_nothing_of_a_time_shared_gpu_is_one_pods() -> None:
    shared = "shared GPU: not attributable to one pod"
    by_uuid = (
        f'{UTIL}{{gpu="0",UUID="GPU-a",namespace="llm",pod="vllm-0"}} 71\n'
        f'{UTIL}{{gpu="0",UUID="GPU-a",namespace="llm",pod="vllm-1"}} 71\n'
        f'{MEMORY}{{gpu="0",UUID="GPU-a",namespace="llm",pod="vllm-0"}} 9000\n'
    )
    assert reasons(by_uuid) == [("vllm-0", shared), ("vllm-1", shared), ("vllm-0", shared)]
    alone = f'{UTIL}{{gpu="0",UUID="GPU-a",vgpu="1",namespace="llm",pod="vllm-0"}} 71\n'
    assert reasons(alone) == [("vllm-0", shared)]


def test_a_gpu_shared_with_a_pod_that_is_ending_is_shared() -> None:
    page = (
        f'{UTIL}{{gpu="0",UUID="GPU-a",namespace="llm",pod="vllm-0"}} 71\n'
        f'{UTIL}{{gpu="0",UUID="GPU-a",namespace="llm",pod="ending"}} 71\n'
    )
    assert reasons(page) == [("vllm-0", "shared GPU: not attributable to one pod")]


def test_two_containers_of_a_pod_share_nothing_with_others() -> None:
    page = (
        f'{UTIL}{{gpu="0",UUID="GPU-a",container="x",namespace="llm",pod="vllm-0"}} 71\n'
        f'{UTIL}{{gpu="0",UUID="GPU-a",container="y",namespace="llm",pod="vllm-0"}} 71\n'
    )
    assert reasons(page) == [("vllm-0", ""), ("vllm-0", "")]


def test_of_a_mig_instance_memory_and_profiling_are_the_pods_and_utilization_is_the_gpus() -> None:
    def instance(name: str, number: int, pod: str) -> str:
        labels = f'gpu="0",UUID="GPU-a",GPU_I_PROFILE="3g.40gb",GPU_I_ID="{number}",namespace="llm",pod="{pod}"'
        return f"{name}{{{labels}}} 1\n"

    page = instance(UTIL, 1, "vllm-0") + instance(MEMORY, 1, "vllm-0") + instance(ACTIVE, 2, "vllm-1")
    whole = "metric of the whole GPU, the pod has a MIG instance: not attributable to one pod"
    assert reasons(page) == [("vllm-0", whole), ("vllm-0", ""), ("vllm-1", "")]
    parent = f'{UTIL}{{gpu="0",UUID="GPU-a",namespace="llm",pod="vllm-0"}} 50\n'
    assert reasons(page + parent)[1] == ("vllm-0", whole), "the line of a GPU that has instances"
    shared = instance(ACTIVE, 2, "vllm-0")
    assert reasons(page + shared)[-1] == ("vllm-0", "shared GPU: not attributable to one pod"), "a shared instance"
