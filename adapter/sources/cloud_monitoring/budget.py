"""How many calls may be made now."""


class Budget:
    """A token bucket: `per_minute` calls a minute, of which a collection's share may be made at once.

    interval_seconds: between collections. now: monotonic seconds.
    """

    def __init__(self, *, per_minute: int, interval_seconds: float) -> None:
        self._per_second = per_minute / 60.0
        self._most = max(1.0, self._per_second * interval_seconds)
        self._left = self._most
        self._at: float | None = None

    def try_take(self, now: float) -> bool:
        """Whether a call may be made; counts it."""
        self._refill(now)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def take(self, now: float) -> None:
        """Count a call that has to be made, such as the next page's: what is missing is saved later."""
        self._refill(now)
        self._left -= 1.0

    def _refill(self, now: float) -> None:
        if self._at is not None:
            self._left = min(self._most, self._left + max(0.0, now - self._at) * self._per_second)
        self._at = now
