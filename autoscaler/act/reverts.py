"""Somebody takes our value back: seen, counted, and answered ever more rarely instead of fighting."""

from collections.abc import Sequence
from dataclasses import dataclass

from policies.snapshot import NS_PER_SECOND

REVERTS_TOLD = 2
"""One may be a person's edit or a release; the second says that something does it again and again."""
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 3600.0
_STOOD_SECONDS = 3600.0  # a value that stood so long was not taken back by a loop: Argo CD resyncs every 3 min, Flux 10


@dataclass(slots=True)
class Reverts:
    """Of one field of one object. by: the managers that own the field since the last one."""

    count: int = 0
    by: tuple[str, ...] = ()
    last_ns: int = 0
    _written_ns: int | None = None
    _expects_ours: bool = True

    def seen(self, *, is_ours: bool, was_ours: bool, by: Sequence[str], now_ns: int) -> None:
        """The object was read. was_ours: it says that we wrote it once; is_ours: our value still stands."""
        if is_ours:
            if self._written_ns is not None and now_ns - self._written_ns >= _STOOD_SECONDS * NS_PER_SECOND:
                self.count = 0
            self._expects_ours = True
        elif was_ours and self._expects_ours:
            self.count += 1
            self.by, self.last_ns = tuple(by), now_ns
            self._expects_ours = False  # counted once, however often it is read

    def wrote(self, now_ns: int) -> None:
        self._written_ns = now_ns
        self._expects_ours = True

    @property
    def is_told(self) -> bool:
        return self.count >= REVERTS_TOLD

    def pause_left_seconds(self, now_ns: int) -> float:
        """Until the next write may be tried; 0 where it may be now. 1 min after the second revert, twice that after
        each further one, at most 1 h."""
        if not self.is_told or self._expects_ours:
            return 0.0
        pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self.count - REVERTS_TOLD, 10), _LONGEST_PAUSE_SECONDS)
        return max(0.0, pause - (now_ns - self.last_ns) / NS_PER_SECOND)
