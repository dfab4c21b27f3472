"""Requests that are over, drawn at random: every outcome, with the instants that go with it."""

from collections.abc import Callable

import numpy as np
import pytest

from simulations.request_rows import NEVER_SENT, OUTCOMES, PENDING, ROW, SERVED, Rows


def _random_rows(seed: int, count: int, seconds: float) -> Rows:
    """`count` requests in order of arrival over `seconds`, about nine in ten of them served."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, ROW)
    rows["outcome"] = np.where(rng.random(count) < 0.9, SERVED, rng.integers(0, len(OUTCOMES), count))
    served, sent = rows["outcome"] == SERVED, rows["outcome"] != NEVER_SENT
    answered = served | ((rows["outcome"] != PENDING) & sent & (rng.random(count) < 0.5))
    rows["arrival"] = np.where(sent, np.sort(rng.uniform(0, seconds, count)), np.nan)
    rows["enqueued"] = rows["arrival"]
    rows["first_token"] = np.where(answered, rows["arrival"] + rng.lognormal(-1, 1.5, count), np.nan)
    rows["prompt_tokens"] = rng.integers(1, 4_000, count)
    rows["output_tokens"] = rng.integers(1, 300, count)
    rows["finish"] = np.where(
        served, rows["first_token"] + (rows["output_tokens"] - 1) * rng.lognormal(-2.7, 0.5, count), np.nan
    )
    rows["generated"] = np.where(served, rows["output_tokens"], np.where(answered, rows["output_tokens"] // 2, 0))
    rows["cached_tokens"] = np.where(rng.random(count) < 0.1, -1, rows["prompt_tokens"] // 3)
    rows["preemptions"] = rng.poisson(0.1, count)
    rows["e2e_limit"] = np.where(rng.random(count) < 0.1, 20.0, np.nan)
    rows["replica"] = np.where(sent, rng.integers(0, 5, count), -1)
    rows["lora"] = rng.integers(-1, 3, count)
    return rows


@pytest.fixture(scope="session")
def random_rows() -> Callable[[int, int, float], Rows]:
    """(seed, count, seconds) -> rows."""
    return _random_rows
