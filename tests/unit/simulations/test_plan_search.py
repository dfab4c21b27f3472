"""The search over one setting: it finds the cheapest place that attains, in few runs, and says when there is none."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.planning.search import Search, Tried


def run(search: Search, attained: Callable[[float], float], cost: Callable[[float], float]) -> Search:
    """To its end; a run is two functions of the place."""
    for _ in range(100):
        place = search.next_place()
        if place is None:
            return search
        assert 0.0 <= place <= 1.0
        search = search.told(Tried(place=place, attainment=attained(place), cost=cost(place)))
    raise AssertionError("the search does not end")


def falling_misses(at_zero: float, at_one: float) -> Callable[[float], float]:
    """Misses fall geometrically from one end of the range to the other, as those of a policy's target do."""
    return lambda place: 1.0 - at_zero * (at_one / at_zero) ** place


def test_it_ends_just_above_the_target_in_a_handful_of_runs() -> None:
    found = run(Search(target=0.99, first=0.35), falling_misses(0.3, 0.0001), lambda place: 10 + 100 * place)
    assert found.best is not None
    assert 0.99 <= found.best.attainment < 0.9915
    assert len(found.tried) <= 6


@pytest.mark.parametrize(
    ("attained", "tried", "has_answer"),
    [
        pytest.param(lambda _: 1.0, 3, True, id="everything-attains-so-the-cheapest-end-is-taken"),
        pytest.param(lambda place: 0.5 + 0.4 * place, 4, False, id="nothing-attains-so-the-dearest-end-is-the-last"),
    ],
)
def test_the_ends_of_the_range(attained: Callable[[float], float], tried: int, has_answer: bool) -> None:
    found = run(Search(target=0.99, first=0.35), attained, lambda place: 1.0 + place)
    assert len(found.tried) == tried
    assert (found.best is not None) == has_answer
    assert found.tried[-1].place == (0.0 if has_answer else 1.0)
    if has_answer:
        assert found.best == found.tried[-1]


def test_a_dearer_hit_is_never_preferred_to_a_cheaper_one() -> None:
    """Runs are noisy: more capacity may cost less, where it is asked for earlier."""
    found = run(Search(target=0.9, first=0.5), lambda place: 0.95 if place > 0.3 else 0.8, lambda place: 2.0 - place)
    assert found.best is not None
    assert found.best.cost == min(each.cost for each in found.tried if each.attainment >= 0.9)


def test_another_target_takes_over_what_is_known() -> None:
    attained, cost = falling_misses(0.3, 0.0001), lambda place: 1.0 + place
    first = run(Search(target=0.95, first=0.35), attained, cost)
    second = run(first.with_target(0.999), attained, cost)
    alone = run(Search(target=0.999, first=0.35), attained, cost)
    assert second.tried[: len(first.tried)] == first.tried
    assert len(second.tried) - len(first.tried) <= len(alone.tried)
    assert second.best is not None
    assert second.best.attainment >= 0.999


@given(
    at_zero=st.floats(0.02, 0.9),
    at_one=st.floats(1e-5, 0.01),
    target=st.floats(0.5, 0.9995),
    first=st.floats(0.0, 1.0),
    noise=st.floats(0.0, 0.2),
)
def test_whatever_the_slope_the_answer_attains_and_is_near_the_cheapest(
    at_zero: float, at_one: float, target: float, first: float, noise: float
) -> None:
    def attained(place: float) -> float:
        wave = 1.0 + noise * math.sin(40 * place)
        return 1.0 - min(1.0, at_zero * (at_one / at_zero) ** place * wave)

    found = run(Search(target=target, first=first, most=12), attained, lambda place: 1.0 + place)
    if attained(1.0) < target and found.best is None:
        return
    assert found.best is not None
    assert found.best.attainment >= target
    cheapest = next(place / 1_000 for place in range(1_001) if attained(place / 1_000) >= target)
    assert found.best.cost - (1.0 + cheapest) <= 0.45
    if noise < 0.01 and found.next_place() is None and len(found.tried) < 12:
        assert found.best.cost - (1.0 + cheapest) <= 0.05
