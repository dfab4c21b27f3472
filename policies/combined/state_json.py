"""What a PredictiveAutoscaler remembers, as JSON and back, exactly.

A log that begins with it can be replayed from there, and a controller that hands over loses nothing that was learned.
"""

from typing import Any

from policies.combined.state import CombinedState
from policies.json_values import from_json, to_json


def state_json(state: CombinedState) -> dict[str, Any]:
    """What `json.dumps` takes, also with allow_nan=False."""
    return to_json(state)


def state_from_json(data: dict[str, Any]) -> CombinedState:
    """The state that `state_json` was given. Raises BadInput with the place of what does not fit."""
    return from_json(CombinedState, data, "state")
