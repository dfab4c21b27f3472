"""Which source's table a rule is served from: priority, failover before values go stale, unhurried return."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapter.sources.series import NS_PER_SECOND
from adapter.store import Table


@dataclass(frozen=True, slots=True)
class Choice:
    """source: the one in use, None before any gave a value.

    better_since_ns: since when a source of higher priority has been good without a break; None if none is.
    """

    source: str | None = None
    better_since_ns: int | None = None


def choose(
    before: Choice,
    order: Sequence[str],
    tables: Mapping[str, Table],
    *,
    now_ns: int,
    failback_after_seconds: float,
) -> Choice:
    """The source to use from now_ns on.

    order: the rule's sources by priority. tables: the last table of each that has one.
    A source is left as soon as it is no longer good and another is; a better one is returned to only when it
    has been good for failback_after_seconds, so that a flapping source does not drag the value back and forth.
    Where none is good, the one in use stays: its values age, and the reason is its own.
    """
    good = [name for name in order if name in tables and is_good(tables[name], now_ns)]
    if before.source not in order or before.source not in tables:
        fallback = next((name for name in order if name in tables), None)
        return Choice(good[0] if good else fallback)
    if not good or good[0] == before.source:
        return Choice(before.source)
    if before.source not in good:
        return Choice(good[0])
    since_ns = now_ns if before.better_since_ns is None else before.better_since_ns
    if now_ns - since_ns >= failback_after_seconds * NS_PER_SECOND:
        return Choice(good[0])
    return Choice(before.source, since_ns)


def is_good(table: Table, now_ns: int) -> bool:
    """Whether the table has a value with at least half the rule's max age still to live.

    Half: at the default of 60 s a source that missed two collections of 15 s is left before a value is stale.
    """
    margin_ns = round(table.rule.max_age_seconds / 2 * NS_PER_SECOND)
    return any(one.value is not None and now_ns - one.at_ns <= table.max_age_ns - margin_ns for one in table.series)
