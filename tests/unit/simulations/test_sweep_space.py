"""What `--set FIELD=VALUES` means, and which points follow."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import BadInput
from simulations.sweep.space import Choices, Span, grid, parse_axis, random_points, scalar


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param("1,2,5", (1, 2, 5), id="whole-numbers"),
        pytest.param("0.5, 1e-3", (0.5, 0.001), id="numbers-in-any-spelling"),
        pytest.param("range(5,40,5)", (5, 10, 15, 20, 25, 30, 35), id="the-end-is-left-out-as-in-python"),
        pytest.param("range(3)", None, id="a-range-needs-both-ends"),
        pytest.param("range(0,0.3,0.1)", (0.0, 0.1, 0.2), id="steps-of-a-fraction-do-not-add-up-errors"),
        pytest.param("range(10,0,-5)", (10, 5), id="downwards"),
        pytest.param("1,range(3,5),9", (1, 3, 4, 9), id="a-range-among-values"),
        pytest.param("true,false,null,none", (True, False, None, "none"), id="yaml-s-words"),
        pytest.param("round-robin,kv-aware", ("round-robin", "kv-aware"), id="texts"),
        pytest.param("[1,2],[3]", ([1, 2], [3]), id="a-comma-within-brackets-separates-nothing"),
    ],
)
def test_listed_values(values: str, expected: tuple[Any, ...] | None) -> None:
    if expected is None:
        with pytest.raises(BadInput, match=r"range\(low,high\)"):
            parse_axis(f"seed={values}")
        return
    axis = parse_axis(f"seed={values}")
    assert axis.values == Choices(expected)
    assert isinstance(axis.values, Choices)
    assert [type(value) for value in axis.values.values] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("seed", "must be FIELD=VALUES", id="no-equals"),
        pytest.param("=1", "must be FIELD=VALUES", id="no-field"),
        pytest.param("seed=", "must be FIELD=VALUES", id="no-values"),
        pytest.param("seed=5..1", r"was '5\.\.1', must be lo\.\.hi with lo < hi", id="ends-the-wrong-way-round"),
        pytest.param("seed=0..1:log", "0 < lo < hi", id="no-logarithm-of-zero"),
        pytest.param("seed=1,2..5", "must be alone", id="a-span-among-values"),
        pytest.param("seed=range(5,5)", "gives 0 values", id="an-empty-range"),
        pytest.param("seed=range(0,1e9)", "gives 1,000,000,000 values", id="a-range-without-end"),
        pytest.param("seed=range(a,b)", r"must be range\(low,high\)", id="a-range-of-texts"),
    ],
)
def test_what_is_not_understood_is_one_clear_line(text: str, named: str) -> None:
    with pytest.raises(BadInput, match=named) as refused:
        parse_axis(text)
    assert "\n" not in str(refused.value)


def test_a_grid_is_every_combination_with_the_last_axis_fastest() -> None:
    points = list(grid([parse_axis("a=1,2"), parse_axis("b=x,y")]))
    assert points == [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]


def test_a_grid_refuses_what_only_random_points_can_draw_from() -> None:
    with pytest.raises(BadInput, match="only --random N draws from"):
        list(grid([parse_axis("a=1..2")]))


def test_a_grid_refuses_more_points_than_anybody_waits_for() -> None:
    with pytest.raises(BadInput, match="1,002,001 combinations"):
        list(grid([parse_axis("a=range(0,1001)"), parse_axis("b=range(0,1001)")]))


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20))
def test_more_random_points_add_to_those_there_are(seed: int, few: int, more: int) -> None:
    """So that a sweep of 100 that is made one of 200 keeps its finished cells."""
    axes = [parse_axis("a=1..100"), parse_axis("b=0.001..10:log"), parse_axis("c=x,y,z")]
    longer = random_points(axes, few + more, seed)
    assert list(itertools.islice(longer, few)) == list(random_points(axes, few, seed))


@given(st.integers(0, 1000))
def test_random_values_lie_in_their_range_and_are_as_whole_as_it_is(seed: int) -> None:
    axes = [parse_axis("whole=3..5"), parse_axis("share=0.25..0.5"), parse_axis("log=1..1000:log")]
    for point in random_points(axes, 5, seed):
        assert point["whole"] in {3, 4, 5}
        assert 0.25 <= point["share"] <= 0.5
        assert 1 <= point["log"] <= 1000
        assert isinstance(point["log"], int)


def test_a_logarithmic_range_spends_as_much_on_each_decade() -> None:
    """1..100: the half below 10, give or take 4 standard deviations of 2,000 coins (4 x 22)."""
    points = list(random_points([parse_axis("x=1.0..100:log")], 2000, 1))
    assert abs(sum(point["x"] < 10 for point in points) - 1000) < 90


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_that_is_printed_is_read_back(value: float) -> None:
    assert scalar(repr(value)) == value


def test_a_span_of_whole_numbers_includes_both_ends() -> None:
    span = parse_axis("a=1..2").values
    assert span == Span(low=1, high=2, is_log=False, is_whole=True)
    assert {point["a"] for point in random_points([parse_axis("a=1..2")], 50, 1)} == {1, 2}
