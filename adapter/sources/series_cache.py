"""What is remembered of pages from one scrape to the next, so that a line seen before costs one dictionary look-up.

The idea is Prometheus' scrape cache (scrape/scrape.go): between two scrapes of a page, and between the pages of
equal pods, the text up to the value does not change. Label sets are shared between all pods that have them.
"""

from collections.abc import Mapping
from sys import intern
from types import MappingProxyType
from weakref import WeakValueDictionary

from adapter.sources.exposition import LabelPairs, bare_name

_UNWANTED_LIMIT = 20_000
_UNWANTED_LENGTH_LIMIT = 256
"""Names and comments of unwanted lines: a page of vLLM has about 150; at most 20,000 x 256 characters, 5 MB."""


class LabelSet:
    """The labels of a series, of a bucket without `le`. One object for equal labels: compare by `is`."""

    __slots__ = ("__weakref__", "labels")

    def __init__(self, pairs: LabelPairs) -> None:
        self.labels: Mapping[str, str] = MappingProxyType(dict(pairs))


class SeriesHead:
    """What a line says before its value. One object for equal series: compare by `is`.

    le: of a bucket, its upper bound as written and as a number.
    """

    __slots__ = ("__weakref__", "labels", "le", "name", "upper_bound")

    def __init__(self, name: str, labels: LabelSet, le: str | None, upper_bound: float | None) -> None:
        self.name = name
        self.labels = labels
        self.le = le
        self.upper_bound = upper_bound


class SeriesCache:
    """heads: line text before the value -> series, of wanted names only. unwanted: what other lines begin with,
    up to their `{`, and comments whole. limit: entries of `heads`; beyond it they are learned anew.
    """

    def __init__(self, *, limit: int) -> None:
        self.wanted: frozenset[str] = frozenset()
        self.heads: dict[str, SeriesHead] = {}
        self.unwanted: set[str] = set()
        self._limit = limit
        self._series: WeakValueDictionary[tuple[str, LabelPairs], SeriesHead] = WeakValueDictionary()
        self._label_sets: WeakValueDictionary[LabelPairs, LabelSet] = WeakValueDictionary()

    def want(self, names: frozenset[str]) -> None:
        """Read lines of these names from now on."""
        if names != self.wanted:
            self.wanted = names
            self.unwanted = self._never_wanted()
            self.heads = {text: head for text, head in self.heads.items() if head.name in names}

    def skip(self, beginning: str) -> None:
        """Lines that begin so are unwanted."""
        if len(self.unwanted) >= _UNWANTED_LIMIT:
            self.unwanted = self._never_wanted()
        if len(beginning) <= _UNWANTED_LENGTH_LIMIT:
            self.unwanted.add(beginning)

    def _never_wanted(self) -> set[str]:
        """Blank lines, and lines that begin with `{`, which have a quoted name: no use unless one is wanted."""
        return {""} if all(bare_name(name) == name for name in self.wanted) else set()

    def learn(self, text: str, name: str, pairs: LabelPairs) -> SeriesHead:
        """The series that a line's text before its value stands for."""
        key = (intern(name), tuple(sorted((intern(label), intern(value)) for label, value in pairs)))
        head = self._series.get(key)
        if head is None:
            head = self._series[key] = self._new_head(*key)
        if len(self.heads) >= self._limit:
            self.heads.clear()
        self.heads[text] = head
        return head

    def _new_head(self, name: str, pairs: LabelPairs) -> SeriesHead:
        le = next((value for key, value in pairs if key == "le"), None) if name.endswith("_bucket") else None
        if le is None:
            return SeriesHead(name, self._label_set(pairs), None, None)
        try:
            upper_bound = float(le)
        except ValueError:
            upper_bound = None
        return SeriesHead(name, self._label_set(tuple(pair for pair in pairs if pair[0] != "le")), le, upper_bound)

    def _label_set(self, pairs: LabelPairs) -> LabelSet:
        found = self._label_sets.get(pairs)
        if found is None:
            found = self._label_sets[pairs] = LabelSet(pairs)
        return found
