"""The fleet minute by minute, from its moments."""

from bisect import bisect_left
from collections.abc import Sequence

from simulations.results.intervals import INTERVAL_SECONDS
from simulations.results.moment import Moment

FIELDS = ("running", "waiting", "gateway_queue", "replicas", "ready_replicas", "gpus", "nodes")


def timeline(moments: Sequence[Moment], minutes: int) -> dict[str, list[int | None]]:
    """Each of FIELDS at the end of each minute: as the last sync before it left the fleet; None before the first."""
    lasts = _lasts(moments, minutes)
    return {name: [None if moment is None else getattr(moment, name) for moment in lasts] for name in FIELDS}


def _lasts(moments: Sequence[Moment], minutes: int) -> list[Moment | None]:
    seconds = [moment.second for moment in moments]
    ends = (bisect_left(seconds, INTERVAL_SECONDS * (minute + 1)) for minute in range(minutes))
    return [moments[end - 1] if end else None for end in ends]
