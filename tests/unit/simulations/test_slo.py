"""Who is served well: by TTFT and TPOT, by E2E where it is promised, by a limit of one's own where there is one."""

import math

import numpy as np
import pytest

from simulations.slo import SLO

NAN = math.nan


@pytest.mark.parametrize(
    ("ttft", "tpot", "e2e", "limit", "promised_e2e", "good"),
    [
        pytest.param(2.0, 0.1, 9.0, NAN, None, True, id="on-the-limits-is-good"),
        pytest.param(2.1, 0.1, 9.0, NAN, None, False, id="late-first-token"),
        pytest.param(2.0, 0.2, 9.0, NAN, None, False, id="slow-tokens"),
        pytest.param(2.0, NAN, 2.0, NAN, None, True, id="one-token-has-no-tpot-to-miss"),
        pytest.param(NAN, NAN, NAN, NAN, None, False, id="never-answered"),
        pytest.param(2.0, 0.1, 9.0, NAN, 8.0, False, id="a-promised-e2e-counts-too"),
        pytest.param(2.0, 0.1, 8.0, NAN, 8.0, True, id="all-three-kept"),
        pytest.param(2.0, 0.1, NAN, NAN, 8.0, False, id="an-answer-that-never-ended-misses-e2e"),
        pytest.param(50.0, 0.9, 60.0, 60.0, 8.0, True, id="a-limit-of-its-own-replaces-all-three"),
        pytest.param(0.1, 0.1, 61.0, 60.0, None, False, id="and-is-missed-on-its-own"),
        pytest.param(0.1, NAN, NAN, 60.0, None, False, id="unfinished-misses-its-own-limit"),
    ],
)
def test_one_request(
    ttft: float, tpot: float, e2e: float, limit: float, promised_e2e: float | None, good: bool
) -> None:
    slo = SLO(ttft_seconds=2.0, tpot_seconds=0.1, e2e_seconds=promised_e2e)
    met = slo.met(*(np.array([value]) for value in (ttft, tpot, e2e, limit)))
    assert met.tolist() == [good]


def test_an_slo_reads_as_a_sentence() -> None:
    assert str(SLO(ttft_seconds=2, tpot_seconds=0.075)) == "TTFT ≤ 2 s and TPOT ≤ 0.075 s"
    assert str(SLO(ttft_seconds=2, tpot_seconds=0.1, e2e_seconds=30)).endswith("and E2E ≤ 30 s")
