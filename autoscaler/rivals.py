"""Which PredictiveAutoscalers have an older one on their workload: worked out on changes, not at each step."""

from collections.abc import Mapping

from autoscaler.act.conflicts import older_rivals
from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key


class Rivals:
    def __init__(self, autoscalers: Mapping[Key, Autoscaler]) -> None:
        self._autoscalers = autoscalers
        self._older: Mapping[Key, Key] | None = None

    def changed(self) -> None:
        """An object came, went or is another."""
        self._older = None

    def older_of(self, key: Key) -> Key | None:
        """The object that acts on this one's workload in its place; None mostly."""
        if self._older is None:
            self._older = older_rivals(self._autoscalers.values())
        return self._older.get(key)
