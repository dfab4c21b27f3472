"""How long to wait before the next try."""

FIRST_SECONDS = 0.8
LONGEST_SECONDS = 30.0


def backoff_seconds(failures: int, chance: float) -> float:
    """The wait after so many failures in a row (1 or more): 0.8 s doubling to 30 s, times 1/2 to 1.

    chance: a draw from [0, 1): spreads the clients of a server that comes back. The span is client-go's
    (tools/cache/reflector.go: 800 ms to 30 s).
    """
    longest = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 10))
    return longest * (0.5 + chance / 2)
