"""What a PredictiveAutoscaler has learned (policies/predictive/learned.py), as a line of JSON and back: 2 kB."""

import json
from dataclasses import replace

from policies.combined.spec import CombinedSpec
from policies.combined.state import CombinedState
from policies.errors import BadInput
from policies.json_values import from_json, to_json
from policies.predictive.learned import Learned, learned_of, with_learned


def learned_json(spec: CombinedSpec, state: CombinedState) -> str:
    """ "" while nothing was learned."""
    learned = learned_of(spec.predictive, state.predictive)
    return "" if learned is None else json.dumps(to_json(learned), allow_nan=False)


def with_learned_json(spec: CombinedSpec, state: CombinedState, text: str) -> CombinedState:
    """The state with what `learned_json` gave; unchanged where that was learned by another spec. Raises BadInput."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise BadInput(f"learned: was no JSON ({error}), must be as learned_json gives it") from error
    predictive = with_learned(spec.predictive, state.predictive, from_json(Learned, data, "learned"))
    return state if predictive is state.predictive else replace(state, predictive=predictive)
