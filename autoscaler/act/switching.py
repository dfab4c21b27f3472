"""What another mode left behind is undone: switching is safe at any time, and after a restart at any point.

Floor    the HPA's minReplicas is given back: the annotation on the HPA says what it was, so no memory is needed
Metric   the value is no longer published; an HPA that still reads it holds, which is said
Direct   nothing: the replicas stay as they are, for the next to change
"""

from collections.abc import Iterable

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act import floor
from autoscaler.act.result import ActResult
from autoscaler.act.writer import NotLeader, Writer
from autoscaler.cluster import Key
from autoscaler.outcome import Acted


class StandingFloors:
    """HPAs that were read since their object acts on no floor and bore none: they need not be read at each step."""

    def __init__(self) -> None:
        self._free: dict[Key, set[str]] = {}

    def may_stand(self, key: Key) -> None:
        """Mode Floor acts for this object."""
        self._free.pop(key, None)

    async def give_back(self, key: Key, hpas: Iterable[str], *, writer: Writer, keep: str | None = None) -> ActResult:
        """Undo the floors of this PredictiveAutoscaler on these HPAs of its namespace, but for `keep`.

        An HPA that is gone bears no floor. What fails is tried again at the next step.
        """
        free = self._free.setdefault(key, set())
        acted = Acted()
        for name in hpas:
            if name == keep or name in free:
                continue
            try:
                undone = await floor.give_back(key.namespace, name, writer=writer, of=key.name)
            except NotLeader as error:
                return ActResult(acted=Acted(withheld=str(error)))
            except ApiError as error:
                if error.status != 404:
                    return ActResult(acted=Acted(to=f"hpa/{name}", error=f"its floor could not be given back: {error}"))
                undone = Acted()
            free.add(name)
            acted = undone if undone.to else acted
        return ActResult(acted=acted)

    def forget(self, key: Key) -> None:
        self._free.pop(key, None)
