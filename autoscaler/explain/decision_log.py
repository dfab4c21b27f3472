"""One line of JSON for each decision, with everything that it was made from: an incident replays as a test.

    {"atNs": ..., "namespace": ..., "name": ..., "spec": {...}, "state": {...},
     "snapshot": {...}, "decision": {...}, "acted": {...}}

spec is there when it is another than in the object's line before, and beside a state. state: what the policy remembered
before this decision: there when it is not what the decision before left behind (a start, something learned), and again
from time to time, so that a file that was begun anew can be replayed too.
"""

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from autoscaler.cluster import Key
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from autoscaler.outcome import Acted
from policies.combined.state import CombinedState
from policies.combined.state_json import state_json
from policies.decision import Decision
from policies.json_values import to_json
from policies.snapshot import Snapshot
from policies.snapshot_json import snapshot_json

_log = logging.getLogger(__name__)
_STATE_SHARE = 8
"""A state is written again once 8 times its bytes were logged after it: it adds about an eighth, and a file with
room for 9 times all states can always be replayed."""


@dataclass(slots=True)
class _Logged:
    """Of one object. state: what its last decision left behind, by identity."""

    spec: PredictiveAutoscalerSpec
    state: CombinedState
    state_bytes: int
    bytes_since: int


class DecisionLog:
    """write: takes one whole line."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._of: dict[Key, _Logged] = {}

    def record(
        self,
        key: Key,
        spec: PredictiveAutoscalerSpec,
        *,
        before: CombinedState,
        after: CombinedState,
        snapshot: Snapshot,
        decision: Decision,
        acted: Acted,
        at_ns: int,
        scale_event_taken_back: bool = False,
    ) -> None:
        """before: the state that the decision was made from. after: the one that the object goes on with.

        scale_event_taken_back: between the two, by workload.without_scale_event, because the change was not made.
        """
        logged = self._of.get(key)
        line: dict[str, Any] = {"atNs": at_ns, "namespace": key.namespace, "name": key.name}
        with_state = (
            logged is None or logged.state is not before or logged.bytes_since >= _STATE_SHARE * logged.state_bytes
        )
        if logged is None or with_state or logged.spec != spec:
            line["spec"] = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        state_text = _dumps(state_json(before)) if with_state else ""
        line["snapshot"] = snapshot_json(snapshot)
        line["decision"] = to_json(decision)
        line["acted"] = to_json(acted)
        if scale_event_taken_back:
            line["scaleEventTakenBack"] = True
        text = _dumps(line)
        if logged is None or with_state:
            text = f'{text[:-1]},"state":{state_text}}}'
            logged = _Logged(spec=spec, state=after, state_bytes=len(state_text), bytes_since=-len(state_text))
        self._of[key] = logged
        logged.spec, logged.state = spec, after
        logged.bytes_since += len(text)
        self._write(text.encode() + b"\n")

    def forget(self, key: Key) -> None:
        self._of.pop(key, None)


class RotatingFile:
    """A file that is begun anew at max_bytes; the one before stays beside it as `NAME.1`. Lines are never cut.

    A full or broken disk loses lines and is told once: a log must not keep anybody from scaling.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Raises OSError where the file cannot be opened."""
        self._path = path
        self._max_bytes = max_bytes
        self._file: BinaryIO = path.open("ab")
        self._failed = False

    def write(self, line: bytes) -> None:
        try:
            if self._file.closed:
                self._file = self._path.open("ab")
            if self._file.tell() and self._file.tell() + len(line) > self._max_bytes:
                self._begin_anew()
            self._file.write(line)
            self._file.flush()
            self._failed = False
        except OSError as error:
            if not self._failed:
                _log.warning("decisions are not logged: %s: %s; give it room and rights", self._path, error)
            self._failed = True

    def close(self) -> None:
        self._file.close()

    def _begin_anew(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file = self._path.open("ab")


def to_stderr(line: bytes) -> None:
    """Among the controller's other lines, by which `leadtime replay` finds them: they alone hold a snapshot."""
    sys.stderr.buffer.write(line)
    sys.stderr.buffer.flush()


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
