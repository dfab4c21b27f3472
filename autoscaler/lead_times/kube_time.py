"""Instants as the Kubernetes API writes them."""

from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def instant_ns(text: Any) -> int | None:
    """RFC 3339 in UTC, of seconds (metav1.Time) or microseconds (metav1.MicroTime); None where there is none.

    Raises ValueError for a text that is neither.
    """
    if not text:
        return None
    at = datetime.fromisoformat(str(text))
    if at.tzinfo is None:
        raise ValueError(f"time: was {text!r}, must have a time zone")
    return (at - _EPOCH) // _MICROSECOND * 1_000


def earlier(a: int | None, b: int | None) -> int | None:
    """The earlier of two instants of which either may be unknown."""
    return b if a is None else a if b is None else min(a, b)
