"""A Snapshot as JSON and back, exactly: with it a logged decision can be made again (json_values.py has the form).

{"replicas": 2, "pods": [{"name": "a", "phase": "Running", "ready": "True"}],
 "observations": [[{"type": "Pods", "name": "vllm:num_requests_waiting"},
                   {"kind": "PodMetrics", "samples": {"a": {"value_milli": 3000, "at_ns": 1800000000000000000}}}]]}
"""

from typing import Any

from policies.json_values import from_json, to_json
from policies.snapshot import Snapshot


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """What `json.dumps` takes, also with allow_nan=False."""
    return to_json(snapshot)


def snapshot_from_json(data: dict[str, Any]) -> Snapshot:
    """The snapshot that `snapshot_json` was given. Raises BadInput with the place of what does not fit."""
    return from_json(Snapshot, data, "snapshot")
