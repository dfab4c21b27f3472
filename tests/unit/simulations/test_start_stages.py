"""A start stage by stage: what is on the node's disk decides which stages a pod goes through."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import BadInput
from simulations.lead_time import Stage, StartPath
from simulations.start.model_load import KeptBy, ModelLoad
from simulations.start.probes import Probe, Probes
from simulations.start.staged_pod import StagedDraws, StagedPod
from simulations.start.staged_start import StagedStart
from simulations.start.transfer import Transfer

NODE = Stage(90.0)


def exactly(seconds: float) -> Stage:
    return Stage(seconds, 0.0)


START = StagedStart(
    scheduling=exactly(1.0),
    volume=exactly(4.0),
    pull=Transfer(30e9, 1e9, 0.0),
    container=exactly(1.0),
    download=Transfer(16e9, 100e6, 0.0),
    kept_by=KeptBy.NODE,
    read=Transfer(16e9, 400e6, 0.0),
    warm_up=exactly(20.0),
)
"""1 + 4 + 30 + 1 s to running containers; 160 + 40 + 20 s of load."""


def pod(start: StagedStart, number: int = 0, disk: dict[str, float] | None = None) -> StagedPod:
    return StagedDraws(start, 1).pod(number, disk)


def test_every_stage_of_a_cold_start_in_its_order() -> None:
    cached: dict[str, float] = {}
    first = pod(START)
    assert first.begin(cached, NODE, 100.0) == (StartPath.NEW_NODE, 136.0)
    assert (first.mounted_at, first.pulled_at, first.starts_at) == (105.0, 135.0, 136.0)
    assert (first.downloaded_at, first.up_at, first.load_seconds) == (296.0, 356.0, 220.0)
    assert cached == {"image": 135.0, "model": 296.0}


@pytest.mark.parametrize(
    ("placed_at", "path", "starts_at", "up_at"),
    [
        pytest.param(100.0, StartPath.NEW_NODE, 136.0, 356.0, id="together-they-wait-for-one-pull-and-one-download"),
        pytest.param(120.0, StartPath.NEW_NODE, 136.0, 356.0, id="one-that-comes-during-the-pull-waits-for-its-end"),
        pytest.param(200.0, StartPath.WARM_NODE, 206.0, 356.0, id="image-there-download-under-way"),
        pytest.param(400.0, StartPath.WARM_NODE, 406.0, 466.0, id="both-there"),
    ],
)
def test_a_second_pod_on_the_node(placed_at: float, path: StartPath, starts_at: float, up_at: float) -> None:
    cached: dict[str, float] = {}
    pod(START).begin(cached, NODE, 100.0)
    second = pod(START, 1)
    assert second.begin(cached, NODE, placed_at) == (path, starts_at)
    assert second.up_at == up_at


@pytest.mark.parametrize(
    ("start", "load_again", "after_a_crash"),
    [
        pytest.param(replace(START, kept_by=KeptBy.CONTAINER), 220.0, 220.0, id="container-loses-all"),
        pytest.param(replace(START, kept_by=KeptBy.POD), 220.0, 60.0, id="emptyDir-outlives-a-crash"),
        pytest.param(START, 60.0, 60.0, id="hostPath-outlives-the-pod"),
        pytest.param(replace(START, reread_speed=10.0), 60.0, 24.0, id="page-cache-reads-10-times-as-fast"),
        pytest.param(replace(START, is_model_preloaded=True), 60.0, 60.0, id="there-from-the-first-instant"),
    ],
)
def test_what_the_models_files_outlive(start: StagedStart, load_again: float, after_a_crash: float) -> None:
    cached: dict[str, float] = {}
    first = pod(start)
    first.begin(cached, NODE, 0.0)
    second = pod(start, 1)
    second.begin(cached, NODE, 1_000.0)
    assert second.load_seconds == pytest.approx(load_again)
    assert first.restart(2_000.0) == 2_000.0
    assert first.load_seconds == pytest.approx(after_a_crash)


def test_a_volume_keeps_the_model_for_its_next_pod_on_whichever_node() -> None:
    disk: dict[str, float] = {}
    start = replace(START, kept_by=KeptBy.VOLUME)
    first, second = pod(start, 0, disk), pod(start, 1, disk)
    first.begin({}, NODE, 0.0)
    second.begin({}, NODE, 1_000.0)
    assert (first.load_seconds, second.load_seconds) == (220.0, 60.0)


def test_a_preloaded_image_is_not_pulled_even_on_a_new_node() -> None:
    first = pod(replace(START, is_image_preloaded=True))
    assert first.begin({}, NODE, 100.0) == (StartPath.WARM_NODE, 106.0)


def test_a_download_that_its_pod_did_not_finish_is_not_there_for_others() -> None:
    cached: dict[str, float] = {}
    first = pod(START)
    first.begin(cached, NODE, 0.0)
    first.abandon(50.0)
    second = pod(START, 1)
    second.begin(cached, NODE, 60.0)
    assert second.load_seconds == 220.0
    second.abandon(1_000.0)
    assert "model" in cached, "that one was finished"


CRASH_LOOP = Probes(readiness=Probe(), liveness=Probe(initial_delay_seconds=30, period_seconds=10, failure_threshold=3))
"""Gives a container 50 to 60 s."""


def lives(start: StagedStart, count: int) -> list[tuple[float, float | None]]:
    """(container started, killed or None when it got Ready) of the first containers of one pod, in seconds."""
    each = pod(start)
    each.begin({}, NODE, 0.0)
    seen: list[tuple[float, float | None]] = []
    for _ in range(count):
        killed = each.starts_at + each.killed_after_seconds
        if each.load_seconds < float("inf"):
            return [*seen, (each.starts_at, None)]
        seen.append((each.starts_at, killed))
        each.restart(killed)
    return seen


def test_the_classic_crash_loop_never_gets_ready() -> None:
    """60 s of load, a liveness probe that gives 50 to 60 s, no startupProbe: killed, started at once, then with 10 s,
    20 s, 40 s ... up to 300 s in between, for ever."""
    start = replace(START, kept_by=KeptBy.CONTAINER, download=exactly(0.0), probes=CRASH_LOOP)
    assert lives(start, 8) == [
        (36.0, 95.0),  # ticks at 75, 85, 95: the grid begins at 5 s, the delay ends at 66
        (95.0, 145.0),
        (155.0, 205.0),
        (225.0, 275.0),
        (315.0, 365.0),
        (445.0, 495.0),
        (655.0, 705.0),
        (1_005.0, 1_055.0),
    ]


def test_a_startup_probe_cures_it() -> None:
    patient = replace(CRASH_LOOP, startup=Probe(period_seconds=10, failure_threshold=30))
    start = replace(START, kept_by=KeptBy.CONTAINER, download=exactly(0.0), probes=patient)
    each = pod(start)
    each.begin({}, NODE, 0.0)
    assert lives(start, 8) == [(36.0, None)]
    assert each.starts_at + each.load_seconds == 105.0, "up at 96, found by the startup probe's tick at 105"


def test_a_page_cache_ends_the_loop_by_itself() -> None:
    """Each container reads what the last one read 10 times as fast, so it gets further, and the last one is in time."""
    start = replace(START, kept_by=KeptBy.POD, download=exactly(0.0), reread_speed=10.0, probes=CRASH_LOOP)
    assert lives(start, 8) == [(36.0, 95.0), (95.0, None)]


def test_a_download_that_goes_on_where_it_stopped_gets_there_in_the_end() -> None:
    """160 s of download in 59 + 50 + 50 + 1 s; then 40 s of reading, which the fifth container does in 10."""
    kept = replace(START, reread_speed=4.0, probes=CRASH_LOOP)
    assert [killed for _, killed in lives(kept, 9)] == [95.0, 145.0, 205.0, 275.0, None]
    anew = replace(START, kept_by=KeptBy.CONTAINER, probes=CRASH_LOOP)
    assert None not in [killed for _, killed in lives(anew, 30)]


@given(
    cuts=st.lists(st.floats(0.0, 400.0), max_size=6),
    speed=st.floats(1.0, 50.0),
    kept_by=st.sampled_from([KeptBy.POD, KeptBy.NODE, KeptBy.VOLUME]),
)
def test_a_cut_load_never_has_more_left_than_before(cuts: list[float], speed: float, kept_by: KeptBy) -> None:
    load = ModelLoad(
        download_seconds=160.0,
        left_seconds=160.0,
        read_seconds=40.0,
        warm_up_seconds=20.0,
        kept_by=kept_by,
        reread_speed=speed,
    )
    for ran in cuts:
        following = load.after(ran)
        assert 20.0 + 40.0 / speed <= following.seconds + 1e-9 <= load.seconds + 2e-9
        load = following


def test_the_nth_pod_draws_the_same_whichever_way_it_starts() -> None:
    spread = replace(START, pull=Transfer(30e9, 1e9, 0.5), read=Transfer(16e9, 400e6, 0.5))
    forwards = [StagedDraws(spread, 7).pod(number).spans for number in range(10)]
    draws = StagedDraws(spread, 7)
    assert [draws.pod(number).spans for number in reversed(range(10))] == forwards[::-1]
    assert len({spans.pull for spans in forwards}) == 10
    assert forwards != [StagedDraws(spread, 8).pod(number).spans for number in range(10)]


def test_as_one_lead_time_it_is_the_sum_of_the_medians() -> None:
    lead = START.as_lead_time(NODE)
    assert (lead.start_median_seconds, lead.load_median_seconds) == (126.0, 220.0)
    assert lead.warm_start_median_seconds == 6.0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Transfer(-1.0, 1.0), "size_bytes: was -1.0, must be 0 or more"),
        (lambda: Transfer(1.0, 0.0), "bytes_per_second: was 0.0, must be above 0"),
        (lambda: Transfer(1e12, 1.0), "size_bytes / bytes_per_second of 1e+12 bytes: was 1000000000000.0, must be"),
        (lambda: replace(START, reread_speed=0.5), "reread_speed: was 0.5, must be 1 or more"),
        (lambda: replace(START, model="image"), "model: was 'image', the image's name"),
        (
            lambda: replace(START, kept_by=KeptBy.POD, is_model_preloaded=True),
            "is_model_preloaded: was true with kept_by pod, must go with node or volume",
        ),
    ],
)
def test_what_cannot_be_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        build()
    assert message in str(refused.value)
