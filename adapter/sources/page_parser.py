"""A metrics page, parsed as it arrives: of 1,000 lines only the wanted ones are taken apart, and those once."""

from collections import Counter
from dataclasses import dataclass, field

from adapter.sources.exposition import MalformedPage, bare_name, has_shape, malformed, number, parse_line, timestamp_ns
from adapter.sources.series_cache import SeriesCache, SeriesHead
from adapter.sources.source import SourceUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLimits:
    """What one page may hold. series: wanted ones. line_length: characters."""

    series: int
    labels_per_series: int
    label_value_length: int

    @property
    def line_length(self) -> int:
        return max(64 * 1024, self.labels_per_series * self.label_value_length)


class SeriesBudget:
    """How many series all pages of one collection may still hold."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = limit


@dataclass(slots=True)
class ParsedPage:
    """A page's wanted samples, names as on the page.

    samples: name -> series -> value, which may be NaN. times: of the lines with a timestamp, nanoseconds since
    the epoch. cut: name -> why none of its series are here, although the page has some: a sum over a part of
    them would be wrong. notes: counted troubles.
    """

    samples: dict[str, dict[SeriesHead, float]] = field(default_factory=dict)
    times: dict[SeriesHead, int] = field(default_factory=dict)
    cut: dict[str, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def series_count(self) -> int:
        return sum(map(len, self.samples.values()))


class PageParser:
    """Feed it the page in pieces of at most some 16 kB, each a slice of work well below a millisecond, then finish.

    Lines of other names are looked at only up to their `{`, after the first of that name was found to have the
    shape of a sample. Raises MalformedPage; SourceUnavailable (limit) when the budget is used up.
    """

    def __init__(self, cache: SeriesCache, limits: PageLimits, budget: SeriesBudget) -> None:
        self.page = ParsedPage()
        self.openmetrics = False
        self._cache = cache
        self._limits = limits
        self._budget = budget
        self._taken = 0
        self._rest = ""
        self._lines_before = 0
        self._ended = False

    def feed(self, text: str) -> None:
        """The next piece, cut anywhere."""
        lines = (self._rest + text).split("\n")
        self._rest = lines.pop()
        if len(self._rest) > self._limits.line_length:
            raise MalformedPage(
                f"line {self._lines_before + len(lines) + 1}: was over {self._limits.line_length} characters, "
                "must be a line of a metrics page"
            )
        self._read(lines)

    def finish(self, *, is_complete: bool) -> ParsedPage:
        """The page, when its last piece has been fed.

        is_complete: the transport knows that nothing is missing. Else a last line without its newline may have
        lost digits, and is refused: SourceUnavailable (truncated). So is OpenMetrics without its `# EOF`.
        """
        if self._rest:
            if not is_complete:
                raise SourceUnavailable("truncated", f"last line was {self._rest[:80]!r}, must end with a newline")
            self._read([self._rest])
        if self.openmetrics and not self._ended:
            raise SourceUnavailable("truncated", "last line must be # EOF")
        return self.page

    def release(self) -> None:
        """Give back what the page took of the budget, because it failed."""
        self._budget.left += self._taken
        self._taken = 0

    def _read(self, lines: list[str]) -> None:
        unwanted, seen, page = self._cache.unwanted, self._cache.heads.get, self.page
        left = [line for line in lines if line.partition("{")[0] not in unwanted]
        for line in [line for line in left if line.partition(" ")[0] not in unwanted]:
            text, _, tail = line.rpartition(" ")
            head = seen(text)
            if head is None or "_" in tail:
                self._read_new(line, lines)
                continue
            try:
                self._add(head, float(tail), page)
            except ValueError as error:
                raise self._malformed(line, lines) from error
        self._lines_before += len(lines)
        self._keep_limits()

    def _add(self, head: SeriesHead, value: float, page: ParsedPage) -> bool:
        """Whether the sample is now on the page."""
        found = page.samples.get(head.name)
        if found is None:
            if head.name in page.cut:
                return False
            found = page.samples[head.name] = {}
        if head in found:
            page.notes["duplicate"] += 1  # the first counts
            return False
        found[head] = value
        return True

    def _read_new(self, line: str, lines: list[str]) -> None:
        """A line that is not known by its text before the value: a comment, a new series, or one with a timestamp."""
        stripped = line.strip(" \t\r")
        if not stripped or stripped[0] == "#":
            if stripped == "# EOF":
                self._ended = True
            elif " " in (beginning := line.partition("{")[0]):  # never "#" alone, which is any comment's first word
                self._cache.skip(beginning)
            return
        name = bare_name(stripped)
        if (name and (name in self._cache.unwanted or name in self.page.cut)) or self._read_stamped(stripped):
            return
        if not has_shape(stripped):
            raise self._malformed(line, lines)
        if name and name not in self._cache.wanted:
            self._cache.skip(name)
            return
        self._learn(stripped, line, lines)

    def _read_stamped(self, line: str) -> bool:
        """A known series with a timestamp behind its value."""
        before, _, stamp = line.rpartition(" ")
        text, _, tail = before.rpartition(" ")
        head = self._cache.heads.get(text)
        if head is None:
            return False
        try:
            value, at_ns = number(tail), timestamp_ns(stamp, openmetrics=self.openmetrics)
        except ValueError:
            return False  # an exemplar, or a fault that parse_line names
        if self._add(head, value, self.page):
            self.page.times[head] = at_ns
        return True

    def _learn(self, stripped: str, line: str, lines: list[str]) -> None:
        try:
            found = parse_line(stripped, openmetrics=self.openmetrics)
        except ValueError as error:
            raise self._malformed(line, lines) from error
        if found.name not in self._cache.wanted:
            return
        limits = self._limits
        if len(found.labels) > limits.labels_per_series:
            self._cut(found.name, f"a series of over {limits.labels_per_series} labels on the page")
            return
        if any(len(value) > limits.label_value_length for _, value in found.labels):
            self._cut(found.name, f"a label value of over {limits.label_value_length} characters on the page")
            return
        head = self._cache.learn(found.head, found.name, found.labels)
        if self._add(head, found.value, self.page) and found.at_ns is not None:
            self.page.times[head] = found.at_ns

    def _keep_limits(self) -> None:
        page = self.page
        count = page.series_count
        while count > self._limits.series:
            largest = max(page.samples, key=lambda name: len(page.samples[name]))
            self._cut(largest, f"over {self._limits.series} series on the page")
            count = page.series_count
        self._budget.left -= count - self._taken
        self._taken = count
        if self._budget.left < 0:
            raise SourceUnavailable("limit", f"no room left for its series, all pages may have {self._budget.limit}")

    def _cut(self, name: str, why: str) -> None:
        self.page.notes["limit"] += max(1, len(self.page.samples.pop(name, ())))
        self.page.cut.setdefault(name, why)

    def _malformed(self, line: str, lines: list[str]) -> MalformedPage:
        return malformed(self._lines_before + lines.index(line) + 1, line)
