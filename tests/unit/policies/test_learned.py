"""What was learned goes over a restart, and no further than it holds."""

import json
from dataclasses import replace

import numpy as np
import pytest

from policies.capacity.profile import PROFILES
from policies.json_values import from_json, to_json
from policies.predictive.learned import Learned, learned_of, with_learned
from policies.predictive.load_traits import TRAITS
from policies.predictive.margin import Margin
from policies.predictive.miss_model import MissModel
from policies.predictive.sizing import Sizing
from policies.predictive.spec import PredictiveSpec
from policies.predictive.state import PredictiveState
from policies.predictive.work_factor import WorkFactor

SPEC = PredictiveSpec(profile=PROFILES["llama-3.1-8b-fp8-l4"], tpot_seconds=0.075)
TAUGHT = PredictiveState(
    sizing=Sizing(weights=np.linspace(0.0, 1.0, len(TRAITS)), floor_load=0.7, bins=2_880, end=9_000),
    margin=Margin(log=0.2),
    misses=MissModel().seen(log_room=0.4, requests=5_000.0, missed_share=0.1, seconds=15.0),
    work=WorkFactor(expected=9_000.0, seen=12_000.0),
)


def kept() -> Learned:
    learned = learned_of(SPEC, TAUGHT)
    assert learned is not None
    return from_json(Learned, json.loads(json.dumps(to_json(learned), allow_nan=True)), "learned")


def test_it_goes_on_where_it_was() -> None:
    state = with_learned(SPEC, PredictiveState(), kept())
    assert state.sizing is not None
    assert TAUGHT.sizing is not None
    assert state.sizing.weights.tolist() == TAUGHT.sizing.weights.tolist()
    assert state.misses.shares.tolist() == TAUGHT.misses.shares.tolist()
    assert (state.margin, state.work) == (TAUGHT.margin, TAUGHT.work)
    assert state.work.value == pytest.approx(1.3)


def test_the_prior_is_not_kept() -> None:
    assert learned_of(SPEC, PredictiveState(work=TAUGHT.work)) is None


def test_what_was_kept_before_work_was_learned_is_taken() -> None:
    data = to_json(kept())
    del data["work"]
    state = with_learned(SPEC, PredictiveState(), from_json(Learned, data, "learned"))
    assert state.sizing is not None
    assert state.work == WorkFactor()


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, attainment=0.99),
        replace(SPEC, tpot_seconds=0.1),
        replace(SPEC, ttft_seconds=1.0),
        replace(SPEC, profile=PROFILES["llama-3.1-8b-l4"]),
    ],
    ids=["attainment", "tpot", "ttft", "profile"],
)
def test_under_another_spec_nothing_is_taken(spec: PredictiveSpec) -> None:
    state = PredictiveState()
    assert with_learned(spec, state, kept()) is state


def test_what_it_has_learned_itself_meanwhile_stays() -> None:
    state = replace(PredictiveState(), sizing=TAUGHT.sizing)
    assert with_learned(SPEC, state, kept()) is state


def test_of_other_traits_or_rooms_nothing_is_taken() -> None:
    learned, state = kept(), PredictiveState()
    fewer = replace(learned, sizing=replace(learned.sizing, weights=np.ones(3)))
    coarser = replace(learned, misses=MissModel(requests=np.zeros(2), missed=np.zeros(2), shares=np.zeros(2)))
    assert with_learned(SPEC, state, fewer) is state
    assert with_learned(SPEC, state, coarser) is state
