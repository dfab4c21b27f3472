"""The presets give what was recorded or published, and what each mitigation saves is found by running."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policies.errors import BadInput
from simulations.cluster import Cluster
from simulations.lead_time import Stage
from simulations.start.mitigations import MITIGATIONS, Mitigation, Waits, local_ssd, waits
from simulations.start.presets import GKE_L4_RECORDED, NIM_L4, PRESETS, Preset, preset_named
from simulations.start.staged_pod import StagedDraws, StagedPod
from simulations.start.transfer import Span


def without_spread(preset: Preset) -> Preset:
    """The medians."""
    start = preset.start

    def median(span: Span) -> Stage:
        return Stage(span.median_seconds, 0.0)

    pool = replace(preset.pool, provision=median(preset.pool.provision))
    exact = replace(
        start,
        volume=median(start.volume),
        pull=median(start.pull),
        container=median(start.container),
        read=median(start.read),
    )
    return replace(preset, pool=pool, start=exact)


def placed(preset: Preset, cluster: Cluster, number: int, at: float) -> StagedPod:
    """A pod that was asked for at `at`, once it has a node."""
    start = StagedDraws(preset.start, 1).pod(number)
    name = f"pod-{number}"
    cluster.place(name, gpus=1, pool=preset.pool.name, start=start, now_seconds=at)
    while cluster.pods[name].placement is None:
        cluster.advance(cluster.next_event_seconds())
    return start


def test_gke_l4_recorded_is_the_recorded_timeline() -> None:
    """From FailedScheduling: Scheduled +95 s, volume +99 s, image pulled +110 s, Running +111 s."""
    preset = without_spread(GKE_L4_RECORDED)
    cluster = Cluster([preset.pool])
    start = placed(preset, cluster, 0, 1_000.0)
    placement = cluster.pods["pod-0"].placement
    assert placement is not None
    instants = (placement.placed_at, start.mounted_at, start.pulled_at, start.starts_at)
    assert [at - 1_000.0 for at in instants] == [95.0, 99.0, 110.0, 111.0]
    assert start.load_seconds == 120.0, "assumed, as LeadTime has it"


def test_nim_l4_takes_as_long_as_published() -> None:
    """Node 3 to 5 min, first model load 5 to 10 min, cached 2 to 3 min: 95 in 100 of them, each found by running."""
    nodes, first, cached = [], [], []
    for seed in range(200):
        cluster = Cluster([NIM_L4.pool], seed=seed)
        draws = StagedDraws(NIM_L4.start, seed)
        cold, warm = draws.pod(0), draws.pod(1)
        cluster.place("cold", gpus=1, pool=NIM_L4.pool.name, start=cold, now_seconds=0.0)
        cluster.advance(cluster.next_event_seconds())
        nodes.append(cluster.now_seconds)
        first.append(cold.load_seconds)
        warm.begin(cluster.live_nodes()[0].cached, NIM_L4.pool.provision, 5_000.0)
        cached.append(warm.load_seconds)
    for seconds, low, high in ((nodes, 3, 5), (first, 5, 10), (cached, 2, 3)):
        inside = np.mean([low * 60.0 - 10.0 <= each <= high * 60.0 + 10.0 for each in seconds])
        assert inside >= 0.95, f"{low} to {high} min, give or take a probe's period: {inside:.0%}"
        assert low * 60.0 < np.median(seconds) < high * 60.0


def test_nim_l4_pool_scales_between_0_and_2_and_lets_idle_nodes_go_after_10_min() -> None:
    pool = NIM_L4.pool
    assert (pool.name, pool.min_nodes, pool.max_nodes, pool.gpu) == ("g2-standard-4", 0, 2, "NVIDIA-L4")
    cluster = Cluster([pool], seed=3)
    for number in range(3):
        cluster.place(
            f"p{number}", gpus=1, pool=pool.name, start=StagedDraws(NIM_L4.start, 3).pod(number), now_seconds=0
        )
    cluster.advance(1_000.0)
    assert (len(cluster.live_nodes()), cluster.pending) == (2, ("p2",))
    for number in range(3):
        cluster.release(f"p{number}", 1_000.0)
    cluster.advance(1_599.9)
    assert len(cluster.live_nodes()) == 2
    cluster.advance(1_600.0)
    assert not cluster.live_nodes()


@pytest.fixture(scope="module")
def table() -> dict[str, Waits]:
    return {each.name: each for each in (waits(mitigation(NIM_L4), range(1, 16)) for mitigation in MITIGATIONS)}


def test_each_mitigation_saves_where_it_should_and_nowhere_else(table: dict[str, Waits]) -> None:
    """The same seeds for all, so what differs is the mitigation's."""
    base = table["as it is"]
    bare = table["no model cache"]
    assert bare.again_seconds > base.again_seconds + 200.0, "a cache saves the download of a node's later pods"
    assert bare.cold_seconds == base.cold_seconds, "and nothing on a new node"
    image = table["image on a secondary boot disk"]
    assert 5.0 <= base.cold_seconds - image.cold_seconds <= 20.0, "11 s of pull, on the grid of the startup probe"
    assert image.again_seconds == base.again_seconds
    assert base.cold_seconds - table["model on a secondary boot disk"].cold_seconds > 200.0
    assert base.again_seconds - table["model cache on a local SSD"].again_seconds > 30.0
    headroom = table["headroom of 1 node"]
    assert base.cold_seconds - headroom.cold_seconds == pytest.approx(232.0, rel=0.2), "a node's provisioning"
    assert headroom.late_seconds < 200.0, "the node that is kept has the model"
    kept = table["minReplicas 1"]
    assert kept.cold_seconds == kept.again_seconds == kept.late_seconds == 0.0


def test_only_what_keeps_nodes_costs_node_hours(table: dict[str, Waits]) -> None:
    base = table["as it is"].node_hours
    assert table["headroom of 1 node"].node_hours == table["minReplicas 1"].node_hours == pytest.approx(6.0)
    for name in ("image on a secondary boot disk", "model on a secondary boot disk", "model cache on a local SSD"):
        assert table[name].node_hours == base < 4.0


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_the_reference_page_says_what_running_says(mitigation: Mitigation) -> None:
    page = (Path(__file__).parents[3] / "docs/reference/pod-starts.md").read_text(encoding="utf-8")
    found = waits(mitigation(NIM_L4))
    seconds = f"{found.cold_seconds:.0f} | {found.again_seconds:.0f} | {found.late_seconds:.0f}"
    assert f"| {found.name} | {seconds} | {found.node_hours:.1f} |" in page


def test_names_and_impossible_questions() -> None:
    assert [preset_named(name).name for name in PRESETS] == list(PRESETS)
    with pytest.raises(BadInput, match=r"preset: was 'nim-l40'; did you mean nim-l4\?"):
        preset_named("nim-l40")
    with pytest.raises(BadInput, match="read: was a time in preset gke-l4-recorded"):
        local_ssd(GKE_L4_RECORDED)
    short = replace(NIM_L4, pool=replace(NIM_L4.pool, unneeded_seconds=60.0))
    with pytest.raises(BadInput, match="unneeded_seconds: was 60, must be above 300"):
        waits(MITIGATIONS[0](short))
