"""Rollouts' arithmetic: how many pods of either revision, by the Deployment controller's own examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import BadInput
from simulations.fleet.canary import Canary, canary_pods
from simulations.fleet.rolling_update import RollingUpdate, next_sizes, proportional
from simulations.fleet.rollout import RevisionStatus, Sizes


@pytest.mark.parametrize(
    ("surge", "unavailable", "desired", "expected"),
    [
        pytest.param("25%", "25%", 4, (1, 1), id="the-defaults"),
        pytest.param("25%", "25%", 10, (3, 2), id="surge-is-rounded-up-unavailable-down"),
        pytest.param("25%", "25%", 1, (1, 0), id="one-replica-is-never-taken-first"),
        pytest.param("0%", "1%", 2, (0, 1), id="both-round-to-0-so-one-may-go"),
        pytest.param("0%", "1%", 1, (0, 1), id="even-the-only-one"),
        pytest.param("1%", "25%", 2, (1, 0), id="one-on-top"),
        pytest.param(3, 2, 10, (3, 2), id="numbers-are-pods"),
        pytest.param("100%", 0, 7, (7, 0), id="all-at-once"),
    ],
)
def test_fenceposts(surge: int | str, unavailable: int | str, desired: int, expected: tuple[int, int]) -> None:
    """deployment_util.go, ResolveFenceposts and the examples above it."""
    assert RollingUpdate(max_surge=surge, max_unavailable=unavailable).fenceposts(desired) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param((10, 10), (0, 0), Sizes(10, 3), id="first-as-many-new-ones-as-the-surge-allows"),
        pytest.param((10, 10), (3, 0), Sizes(8, 3), id="then-old-ones-go-down-to-what-must-be-available"),
        pytest.param((8, 8), (3, 0), Sizes(8, 5), id="which-makes-room-for-new-ones"),
        pytest.param((8, 8), (5, 0), Sizes(8, 5), id="and-then-it-waits-for-them"),
        pytest.param((8, 7), (5, 0), Sizes(8, 5), id="a-lost-old-pod-changes-nothing"),
        pytest.param((8, 8), (5, 2), Sizes(6, 5), id="two-are-ready-two-may-go"),
        pytest.param((6, 4), (7, 7), Sizes(1, 7), id="unhealthy-old-ones-go-first-and-more-after-them"),
        pytest.param((1, 1), (10, 10), Sizes(0, 10), id="the-last-one"),
        pytest.param((0, 0), (10, 10), Sizes(0, 10), id="done"),
        pytest.param((0, 0), (12, 12), Sizes(0, 10), id="too-many-new-ones"),
    ],
)
def test_one_sync_of_a_rolling_update(old: tuple[int, int], new: tuple[int, int], expected: Sizes) -> None:
    """10 replicas, maxSurge 3, maxUnavailable 2, the example in rolling.go; (replicas, available) of each."""
    before = [RevisionStatus(replicas=replicas, available=available) for replicas, available in (old, new)]
    assert next_sizes(10, before[0], before[1], surge=3, unavailable=2) == expected


@given(
    desired=st.integers(1, 20),
    surge=st.integers(0, 20),
    unavailable=st.integers(0, 20),
    ready=st.lists(st.integers(0, 20), min_size=60, max_size=60),
)
def test_a_rolling_update_stays_between_its_fenceposts_and_ends(
    desired: int, surge: int, unavailable: int, ready: list[int]
) -> None:
    """ready: how many more new pods get Ready before each sync; where none does, one does, so that it ends."""
    surge, unavailable = (surge, unavailable) if surge or unavailable else (1, 0)
    sizes, available = Sizes(desired, 0), 0
    for more in ready:
        available = min(sizes.new, available + max(1, more))
        old = RevisionStatus(replicas=sizes.old, available=sizes.old)
        new = RevisionStatus(replicas=sizes.new, available=available)
        sizes = next_sizes(desired, old, new, surge=surge, unavailable=unavailable)
        assert sizes.old + sizes.new <= desired + surge
        assert sizes.old + min(available, sizes.new) >= desired - unavailable
    assert sizes == Sizes(0, desired)


@pytest.mark.parametrize(
    ("before", "desired", "sizes", "expected"),
    [
        pytest.param(10, 15, Sizes(8, 5), Sizes(11, 7), id="up-by-half"),
        pytest.param(10, 5, Sizes(8, 5), Sizes(5, 3), id="down-by-half"),
        pytest.param(10, 0, Sizes(8, 5), Sizes(0, 0), id="to-nothing"),
        pytest.param(10, 15, Sizes(0, 10), Sizes(0, 15), id="only-the-new-one-is-left"),
        pytest.param(10, 15, Sizes(10, 0), Sizes(15, 0), id="only-the-old-one-is-there"),
    ],
)
def test_a_scaling_during_a_rolling_update_is_shared_in_proportion(
    before: int, desired: int, sizes: Sizes, expected: Sizes
) -> None:
    """maxSurge 3; up by half is the example of kubernetes.io, Deployments, "Proportional scaling" (sync.go, scale)."""
    result = proportional(before, desired, sizes, surge_before=3, surge=3, new_is_full=False)
    assert result == expected


@given(before=st.integers(1, 30), desired=st.integers(0, 30), old=st.integers(1, 30), more=st.integers(1, 30))
def test_the_shares_add_up_to_what_is_allowed(before: int, desired: int, old: int, more: int) -> None:
    """Of sizes that were allowed before."""
    old = min(old, before + 1)
    new = min(more, before + 2 - old)
    result = proportional(before, desired, Sizes(old, new), surge_before=2, surge=2, new_is_full=False)
    assert result.old + result.new == (desired + 2 if desired else 0)
    assert min(result.old, result.new) >= 0


@pytest.mark.parametrize(
    ("weight", "desired", "pods"),
    [(5, 20, 1), (10, 20, 2), (20, 20, 4), (5, 4, 1), (20, 4, 1), (50, 3, 2), (99, 10, 9), (5, 1, 1), (5, 0, 0)],
)
def test_a_weight_is_approximated_by_pods(weight: float, desired: int, pods: int) -> None:
    assert canary_pods(weight, desired) == pods


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RollingUpdate(max_surge=0, max_unavailable=0), "maxUnavailable: was 0, must be above 0"),
        (lambda: RollingUpdate(max_surge="lots"), "maxSurge: was 'lots', must be 0 or more pods, or a percentage"),
        (lambda: RollingUpdate(max_unavailable="120%"), "maxUnavailable: was '120%'"),
        (lambda: RollingUpdate(max_surge=-1), "maxSurge: was -1"),
        (lambda: Canary(weights_percent=()), "steps: was empty"),
        (lambda: Canary(weights_percent=(5.0, 100.0)), "setWeight: was 100.0, must be above 0 and below 100"),
        (lambda: Canary(min_attainment=95.0), "min_attainment: was 95.0, must be in"),
    ],
)
def test_what_a_controller_refuses_is_refused(build: object, message: str) -> None:
    assert callable(build)
    with pytest.raises(BadInput, match=message):
        build()
