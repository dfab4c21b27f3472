"""The series of a rule, page after page."""

import pytest

from adapter.sources.attribution import attribute
from adapter.sources.derive.describe import describe
from adapter.sources.derive.page import Page
from adapter.sources.derive.values import Histories, series_of
from adapter.sources.page_parser import PageLimits, PageParser, SeriesBudget
from adapter.sources.rule import Latest, Quantile, Rate, Ratio, Rule, Share, Total, Value, series_names
from adapter.sources.series import PodKey, Series
from adapter.sources.series_cache import SeriesCache
from adapter.sources.targets import Target

NS = 1_000_000_000
START_NS = 1_700_000_000 * NS
POD, OTHER = PodKey("llm", "vllm-0"), PodKey("llm", "vllm-1")
POD_PAGE = Target(url="http://10.0.0.7:8000/metrics", role="pod", owner=POD)
EXPORTER = Target(url="http://10.0.0.3:9400/metrics", role="exporter", owner=None)


class Scrapes:
    """One target, scraped again and again for one rule."""

    def __init__(self, value: Value, target: Target = POD_PAGE, *, series_limit: int = 100) -> None:
        self.rule = Rule(name="rule", value=value)
        self.target = target
        self.histories = Histories()
        self.limits = PageLimits(series=series_limit, labels_per_series=64, label_value_length=1024)
        self.cache = SeriesCache(limit=1000)
        self.cache.want(frozenset(series_names(value)))

    def at(self, second: float, text: str) -> list[Series]:
        parser = PageParser(self.cache, self.limits, SeriesBudget(1000))
        parser.feed(text)
        parsed = parser.finish(is_complete=True)
        label_sets = {head.labels for heads in parsed.samples.values() for head in heads}
        page = Page(
            samples=parsed.samples,
            times=parsed.times,
            owners=attribute(label_sets, target=self.target, pods={POD, OTHER}),
            cut=parsed.cut,
            pod=self.target.owner if self.target.role == "pod" else None,
            at_ns=START_NS + round(second * NS),
        )
        self.histories.forget(page.at_ns)
        return list(series_of(self.rule, page, self.histories))


def values(series: list[Series]) -> list[tuple[float | None, str]]:
    return [(one.value, one.why) for one in series]


def test_the_newest_sample_of_each_series_with_the_exporters_labels() -> None:
    found = Scrapes(Latest(("a",))).at(0, 'a{engine="0"} 3\na{engine="1"} 5\n')
    assert found == [Series({"engine": str(n)}, value, START_NS, POD) for n, value in enumerate([3.0, 5.0])]


@pytest.mark.parametrize(("text", "why"), [("NaN", "NaN"), ("+Inf", "+Inf"), ("-Inf", "-Inf")])
def test_what_is_no_number_is_no_value_and_says_so(text: str, why: str) -> None:
    assert values(Scrapes(Latest(("a",))).at(0, f"a {text}\n")) == [(None, why)]
    assert values(Scrapes(Rate(("a",), 60)).at(0, f"a {text}\n")) == [(None, why)]
    assert values(Scrapes(Total((("a",), ("b",)))).at(0, f"a {text}\nb 1\n")) == [(None, why)]


def test_of_old_and_new_name_on_a_page_the_new_one_counts_and_counts_once() -> None:
    both = Latest(("kv_cache_usage_perc", "gpu_cache_usage_perc"))
    assert values(Scrapes(both).at(0, "gpu_cache_usage_perc 0.2\nkv_cache_usage_perc 0.3\n")) == [(0.3, "")]
    assert values(Scrapes(both).at(0, "gpu_cache_usage_perc 0.2\n")) == [(0.2, "")]


def test_of_an_exporter_each_pod_has_its_own_newest_name() -> None:
    page = (
        'old{namespace="llm",pod="vllm-0"} 1\nold{namespace="llm",pod="vllm-1"} 2\n'
        'new{namespace="llm",pod="vllm-1"} 3\n'
    )
    found = Scrapes(Latest(("new", "old")), EXPORTER).at(0, page)
    assert sorted((one.pod, one.value) for one in found) == [(POD, 1.0), (OTHER, 3.0)]


def test_a_samples_own_time_is_kept_unless_it_lies_ahead() -> None:
    """A clock that runs ahead cannot keep an old value fresh; one that lags makes it as old as it says."""
    scrapes = Scrapes(Latest(("a",)))
    ((ahead,), (behind,), (absurd,)) = (
        scrapes.at(0, f"a 1 {stamp}\n") for stamp in (1_700_009_000_000, 1_699_999_900_000, -5)
    )
    assert (ahead.at_ns, behind.at_ns, absurd.at_ns) == (START_NS, START_NS - 100 * NS, 0)


def test_a_rate_needs_two_samples_and_then_is_per_second() -> None:
    scrapes = Scrapes(Rate(("requests_total",), 60))
    assert values(scrapes.at(0, "requests_total 1000\n")) == [(None, "needs two samples within 60 s")]
    ((second,),) = (scrapes.at(15, "requests_total 1030\n"),)
    # As PromQL: extended by half a distance to where the series may have begun.
    assert second.value == pytest.approx(30 / 15 * (15 + 7.5) / 60)
    assert (second.at_ns, second.window_seconds) == (START_NS + 15 * NS, 60)
    for second_now in (30, 45, 60, 75):
        found = scrapes.at(second_now, f"requests_total {1000 + 2 * second_now}\n")
    assert found[0].value == pytest.approx(2.0)


def test_a_restarted_server_gives_no_negative_rate() -> None:
    scrapes = Scrapes(Rate(("c",), 60))
    for second, count in ((0, 500), (15, 530), (30, 10)):
        found = scrapes.at(second, f"c {count}\n")
    assert found[0].value == pytest.approx((30 + 10) / 30 * (30 + 7.5) / 60)


def test_a_series_that_is_gone_from_the_page_has_no_rate_and_its_history_leaves() -> None:
    scrapes = Scrapes(Rate(("c",), 60))
    for second in (0, 15, 30):
        scrapes.at(second, f'c{{lora="x"}} {second}\nc{{lora="y"}} {second}\n')
    assert [one.labels for one in scrapes.at(45, 'c{lora="y"} 45\n')] == [{"lora": "y"}]
    assert len(scrapes.histories) == 2
    scrapes.at(100, 'c{lora="y"} 45\n')
    assert len(scrapes.histories) == 1


def test_a_page_that_repeats_old_timestamps_gives_an_old_rate() -> None:
    scrapes = Scrapes(Rate(("c",), 60))
    scrapes.at(0, "c 1 1700000000000\n")
    scrapes.at(15, "c 31 1700000015000\n")
    (late,) = scrapes.at(45, "c 31 1700000015000\n")
    assert late.value is not None
    assert late.at_ns == START_NS + 15 * NS


def test_a_ratio_is_what_the_one_grew_per_growth_of_the_other() -> None:
    scrapes = Scrapes(Ratio(("queue_us",), ("requests",), 60))
    assert values(scrapes.at(0, 'queue_us{model="m"} 1000\nrequests{model="m"} 10\n')) == [
        (None, "needs two samples within 60 s")
    ]
    assert values(scrapes.at(15, 'queue_us{model="m"} 4000\nrequests{model="m"} 16\n')) == [(500.0, "")]
    assert values(scrapes.at(30, 'queue_us{model="m"} 100\nrequests{model="m"} 1\n')) == [(3100 / 7, "")]


def test_a_ratio_without_requests_is_no_value() -> None:
    scrapes = Scrapes(Ratio(("queue_us",), ("requests",), 60))
    for second in (0, 15):
        found = scrapes.at(second, "queue_us 5\nrequests 5\n")
    assert values(found) == [(None, "requests did not increase in 60 s")]
    other = scrapes.at(30, 'queue_us{model="m"} 5\nrequests{model="n"} 5\n')
    assert values(other) == [(None, "requests has no series with these labels")]


def histogram(labels: str, *counts: float) -> str:
    edges = ["0.5", "1.0", "+Inf"]
    lines = [f'h_bucket{{{labels}le="{edge}"}} {count}' for edge, count in zip(edges, counts, strict=True)]
    return "\n".join(lines) + "\n"


def test_a_quantile_is_of_the_windows_observations_for_each_engine() -> None:
    scrapes = Scrapes(Quantile(("h",), 0.5, 60))
    first = histogram('engine="0",', 900, 950, 1000) + histogram('engine="1",', 0, 0, 0)
    assert values(scrapes.at(0, first)) == [(None, "needs two samples within 60 s")] * 2
    found = scrapes.at(15, histogram('engine="0",', 900, 960, 1010) + histogram('engine="1",', 0, 0, 0))
    assert [one.labels for one in found] == [{"engine": "0"}, {"engine": "1"}]
    assert found[0].value == pytest.approx(0.75)
    assert values(found)[1] == (None, "no observations in 60 s")
    assert found[0].window_seconds == 60


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ('h_bucket{le="1"} 5\n', 'histogram without a bucket le="+Inf" and one below it'),
        ('h_bucket{le="1"} NaN\nh_bucket{le="+Inf"} 3\n', "NaN"),
    ],
)
def test_a_broken_histogram_is_no_value(page: str, why: str) -> None:
    assert values(Scrapes(Quantile(("h",), 0.5, 60)).at(0, page)) == [(None, why)]


def test_a_share_is_of_the_windows_observations_for_each_engine() -> None:
    """Of 20 observations since the first scrape 5 lie at most at 0.5, 10 up to 1, and 5 above: 0.7 cuts the middle."""
    scrapes = Scrapes(Share(("h",), 0.7, 60))
    first = histogram('engine="0",', 900, 950, 1000) + histogram('engine="1",', 0, 0, 0)
    assert values(scrapes.at(0, first)) == [(None, "needs two samples within 60 s")] * 2
    found = scrapes.at(15, histogram('engine="0",', 905, 965, 1020) + histogram('engine="1",', 0, 0, 0))
    assert found[0].value == pytest.approx(1 - (5 + 10 * 0.4) / 20)
    assert (found[0].labels, found[0].window_seconds) == ({"engine": "0"}, 60)
    assert values(found)[1] == (None, "no observations in 60 s")


def test_a_histogram_with_other_buckets_begins_anew() -> None:
    """A new version of the server with finer buckets: their counts are not compared with the old ones'."""
    scrapes = Scrapes(Quantile(("h",), 0.5, 60))
    scrapes.at(0, histogram("", 1, 2, 3))
    finer = 'h_bucket{le="0.1"} 7\nh_bucket{le="+Inf"} 9\n'
    assert values(scrapes.at(15, finer)) == [(None, "needs two samples within 60 s")]
    assert len(scrapes.histories) == 2
    scrapes.at(70, finer)
    assert len(scrapes.histories) == 1


def test_a_total_adds_series_with_equal_labels() -> None:
    demand = Total((("running",), ("waiting", "queued")))
    page = 'running{engine="0"} 3\nrunning{engine="1"} 4\nqueued{engine="0"} 10\nqueued{engine="1"} 20\n'
    assert values(Scrapes(demand).at(0, page)) == [(13.0, ""), (24.0, "")]


def test_a_total_without_one_of_its_parts_is_no_value() -> None:
    found = Scrapes(Total((("running",), ("waiting",)))).at(0, 'running{engine="0"} 3\n')
    assert values(found) == [(None, "waiting has no series with these labels")]


def test_a_shared_gpu_has_no_value_for_either_pod() -> None:
    page = "".join(f'UTIL{{UUID="GPU-a",namespace="llm",pod="vllm-{n}"}} 70\n' for n in range(2))
    assert (
        values(Scrapes(Latest(("UTIL",)), EXPORTER).at(0, page))
        == [(None, "shared GPU: not attributable to one pod")] * 2
    )


def test_a_metric_that_was_cut_is_one_series_without_a_value() -> None:
    page = "".join(f'a{{user="{user}"}} 1\n' for user in range(20)) + "b 1\n"
    cut = [Series({}, None, START_NS, POD, why="over 10 series on the page")]
    assert Scrapes(Latest(("a",)), series_limit=10).at(0, page) == cut
    assert Scrapes(Total((("b",), ("a",))), series_limit=10).at(0, page) == cut


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Latest(("a", "b")), "a or b"),
        (Rate(("a",), 60), "rate(a[60s])"),
        (Ratio(("a",), ("b", "c"), 30), "(increase(a[30s])) / (increase(b[30s]) or increase(c[30s]))"),
        (Quantile(("h",), 0.95, 120), "histogram_quantile(0.95, rate(h_bucket[120s]))"),
        (Share(("h",), 0.2, 60), "histogram_fraction(0.2, +Inf, rate(h_bucket[60s]))"),
        (Total((("a",), ("b", "c"))), "a + (b or c)"),
    ],
)
def test_a_value_is_described_as_promql(value: Value, text: str) -> None:
    assert describe(value) == text
