"""Answers kept as bytes: the same request between two collections is answered by one look-up."""

from dataclasses import dataclass
from weakref import ref

from adapter.names.resolve import NameIndex
from adapter.store import PodIndex, Store, Table

_LIMIT_BYTES = 16 * 1024 * 1024
"""Of answers kept. 200 pods' values are 40 kB; ten thousand HPAs of ten pods each need 20 MB, and are then
answered anew, which takes a millisecond."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Only references: an answer that nobody asks for again must not keep the samples of its day in memory."""

    answer: bytes
    until_ns: int
    rule: str
    table: ref[Table]
    pods: ref[PodIndex]
    names: ref[NameIndex]


class KeptAnswers:
    """Good for as long as what an answer was made from is the very same and no value in it has grown too old."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[bytes, _Kept] = {}
        self._bytes = 0

    def get(self, target: bytes, names: NameIndex, now_ns: int) -> bytes | None:
        """The answer to a request's target, None if there is none that is still true."""
        kept = self._kept.get(target)
        if (
            kept is not None
            and now_ns <= kept.until_ns
            and kept.pods() is self._store.pods
            and kept.names() is names
            and (table := kept.table()) is not None
            and table is self._store.table(kept.rule)
        ):
            return kept.answer
        return None

    def put(self, target: bytes, names: NameIndex, answer: bytes, table: Table, until_ns: int) -> None:
        """Keep one; what was kept before goes all at once when there is no room."""
        before = self._kept.pop(target, None)
        self._bytes += len(answer) + len(target) - (len(before.answer) + len(target) if before is not None else 0)
        if self._bytes > _LIMIT_BYTES:
            self._kept.clear()
            self._bytes = len(answer) + len(target)
        self._kept[target] = _Kept(answer, until_ns, table.rule.name, ref(table), ref(self._store.pods), ref(names))
