"""The parts of benchmarks/metrics_apis.py that judge: what is asked, what is right, what is stale, what is met."""

import shutil
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.api.query import CustomQuery, ExternalQuery, parse_query
from adapter.configuration_file import parse_configuration
from adapter.http_server.request import Client as HttpClient
from adapter.http_server.request import Request
from adapter.names.resolve import NameIndex
from adapter.rules.watcher import check as check_rules
from adapter.sources.kubernetes.pod_record import prune_pod

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

import yaml
from metrics_adapter import keda, prometheus, scale, sides
from metrics_adapter.agreement import METRIC, Disagreement, check
from metrics_adapter.cluster import pod_object, pod_status
from metrics_adapter.fleet import (
    EVERY_POD,
    METRICS,
    Fleet,
    address,
    page,
    pod_at,
    pods_target,
    ten_thousand_targets,
    value,
)
from metrics_adapter.load import Client, Load, LoadFailed, compiled
from metrics_adapter.processes import Group, Usage
from metrics_adapter.report import Figures, result_lines, targets
from metrics_adapter.rounds import Result, Round
from pki import Authority

FLEET = Fleet(namespace="llm", workloads=3, pods_each=2)


# What is asked.


@given(st.integers(0, 60_000))
def test_a_pod_is_found_by_its_address(pod: int) -> None:
    assert pod_at(address(pod)) == pod
    assert address(pod).startswith("127.64.")


def test_a_page_tells_every_metric_once_and_a_new_generation_changes_each() -> None:
    before, after = (
        [line for line in page(5, generation).splitlines() if not line.startswith("#")] for generation in (0, 1)
    )
    assert [line.partition("{")[0] for line in before] == list(METRICS)
    assert not set(before) & set(after)


def test_values_are_exact_in_thousandths_up_to_the_kv_cache() -> None:
    """Peers round down and the HPA rounds up: a value between would make them differ."""
    values = [value(METRIC, pod, generation) * 1000 for pod in range(100) for generation in range(3)]
    assert all(each == int(each) for each in values)


def test_ten_thousand_hpas_ask_ten_thousand_different_things_that_the_adapter_has() -> None:
    asked = ten_thousand_targets(scale.FLEET)
    assert len(set(asked)) == 10_000
    assert scale.FLEET.pods * len(METRICS) == 10_000
    names = NameIndex(check_rules(()))
    for target in asked[:: len(METRICS)]:
        request = Request("GET", target.encode(), client=HttpClient())
        query = parse_query(request.segments, request.query)
        assert query is not None
        assert query.label_selector.startswith("app=vllm-")
        found = names.external(query.metric) if isinstance(query, ExternalQuery) else names.custom(query.metric)
        assert found is not None, query.metric


def test_targets_are_those_of_the_hpa() -> None:
    request = Request("GET", pods_target("llm", METRIC, "app=vllm-001").encode(), client=HttpClient())
    query = parse_query(request.segments, request.query)
    assert query == CustomQuery(
        version="v1beta2", namespace="llm", resource="pods", name="*", metric=METRIC, label_selector="app=vllm-001"
    )


def test_pods_are_running_ready_and_labelled() -> None:
    created = pod_object(FLEET, 3, 8000)
    created["metadata"]["namespace"] = FLEET.namespace
    record = prune_pod({**created, "status": pod_status(3)})
    assert record is not None
    assert (record.key.name, record.ip, record.info.ready) == (FLEET.name(3), address(3), True)
    assert record.info.labels == FLEET.labels(3)
    assert list(FLEET.selected(1)) == [2, 3]


# What the sides are told.


def test_the_adapters_configuration_is_one() -> None:
    written = sides.leadtime_configuration(
        port=1234,
        certificate=Path("a.crt"),
        key=Path("a.key"),
        kubeconfig=Path("config"),
        source={"prometheus": {"url": "http://127.0.0.1:9090", "intervalSeconds": 5}},
    )
    settings = parse_configuration(yaml.safe_dump(written), "adapter.yaml")
    assert settings.server.port == 1234
    assert settings.sources[0].interval_seconds == 5.0
    assert settings.authentication.client_ca_file is None, "the API server says whom to believe"


def test_every_side_reads_the_same_series() -> None:
    rules = sides.prometheus_adapter_configuration()
    assert [rule["seriesQuery"] for part in rules.values() for rule in part] == 2 * [
        '{__name__=~"^vllm:num_requests_(waiting|running)$",namespace!="",pod!=""}'
    ]
    _, scaled = keda.workload_objects(FLEET, 2, METRIC, "http://prometheus")
    assert scaled["spec"]["triggers"][0]["metadata"]["query"] == f'sum({METRIC}{{namespace="llm",app="vllm-002"}})'
    listed = prometheus.scrape_targets(FLEET, 8000)
    assert [one["labels"]["pod"] for one in listed] == [FLEET.name(pod) for pod in range(FLEET.pods)]


# What is right.


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("12500m", 12_500), ("7", 7000), ("12k", 12_000_000), ("1500u", 2), ("0", 0), ("1M", 10**9), ("250000001n", 251)],
)
def test_a_quantity_is_read_as_the_hpa_reads_it(quantity: str, expected: int) -> None:
    assert sides.milli(quantity) == expected


NOW = 1_790_000_000.5
"""The moment of every answer."""


class Samples(prometheus.Prometheus):
    """A Prometheus that scraped every pod three and eight seconds ago."""

    def samples(self, metric: str, seconds: int) -> Mapping[str, list[tuple[float, float]]]:
        assert (metric, seconds) == (METRIC, 30)
        return {FLEET.name(pod): [(NOW - 8, -1.0), (NOW - 3, value(METRIC, pod, 0))] for pod in range(FLEET.pods)}


class Fake(sides.Side):
    """Answers every pod's value, off by `wrong` thousandths, stamped `age` seconds ago."""

    wrong = 0
    age = 3.2

    def ask(self, target: str) -> sides.Answered:
        pods = [
            pod for pod in range(FLEET.pods) if EVERY_POD.replace("=", "%3D") in target or self._is_for(pod, target)
        ]
        return sides.Answered([self._item(pod, target) for pod in pods], NOW)

    def _is_for(self, pod: int, target: str) -> bool:
        return target.endswith(f"app%3D{FLEET.labels(pod)['app']}")

    def _item(self, pod: int, target: str) -> dict[str, Any]:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - self.age))
        item: dict[str, Any] = {"timestamp": at, "value": f"{round(value(METRIC, pod, 0) * 1000) + self.wrong}m"}
        named = {"name": FLEET.name(pod)}
        return item | ({"metricLabels": {"pod": named["name"]}} if "external" in target else {"describedObject": named})


def side(**options: Any) -> Fake:
    return Fake(name="fake", version="1", port=1, groups=(), client=ssl.create_default_context(), **options)


def test_right_values_of_true_ages_agree() -> None:
    agreed = check(side(stamps_samples=True), FLEET, 0, Samples(9090))
    assert agreed.values == 3 * FLEET.pods
    assert agreed.true_age_seconds == agreed.told_age_seconds
    assert 3 <= agreed.told_age_seconds <= 5


def test_a_wrong_value_is_noticed() -> None:
    one = side(stamps_samples=True)
    one.wrong = 1
    with pytest.raises(Disagreement, match=r"fake: .*external.*must be"):
        check(one, FLEET, 0, Samples(9090))


@pytest.mark.parametrize("age", [0.0, 8.2, 60.0], ids=["the-moment", "a-sample-of-another-value", "no-sample"])
def test_a_time_that_is_not_the_samples_is_noticed(age: float) -> None:
    one = side(stamps_samples=True)
    one.age = age
    with pytest.raises(Disagreement, match="stamped"):
        check(one, FLEET, 0, Samples(9090))


def test_a_side_that_stamps_the_moment_must_stamp_the_moment() -> None:
    one = side()
    with pytest.raises(Disagreement, match="not the moment"):
        check(one, FLEET, 0, Samples(9090))
    one.age = 0.0
    assert check(one, FLEET, 0, Samples(9090)).true_age_seconds == pytest.approx(3.0, abs=0.5)


# What is counted.


def turn(per_second: float, *, p99: float, cpu: float, backend: float = 0.0, stale: int = 0) -> Round:
    load = Load(
        requests=int(per_second * 10), seconds=10.0, non_2xx=0, stale=stale, p50=0.001, p99=p99, p999=p99, max=p99
    )
    return Round(
        load=load,
        seconds=10.0,
        cpu_seconds=cpu,
        prometheus_cpu_seconds=backend,
        api_server_cpu_seconds=0.0,
        others_cores=0.1,
    )


def results(rate: float) -> list[Result]:
    ours = Result(side="leadtime", case="External, 10 pods each", idle_prometheus=0.05)
    ours.rounds = [turn(rate, p99=0.004, cpu=10.0, backend=0.5) for _ in range(3)]
    peer = Result(side="prometheus-adapter", case="External, 10 pods each", idle_prometheus=0.05)
    peer.rounds = [turn(800.0, p99=0.030, cpu=5.0, backend=7.5) for _ in range(3)]
    return [ours, peer]


def test_cpu_an_answer_counts_what_prometheus_spends_beyond_idle() -> None:
    ours, peer = results(8000.0)
    assert ours.prometheus_cpu_per_answer == pytest.approx(0.0, abs=1e-12)  # 0.5 s in 10 s is what it spends idle
    assert ours.cpu_per_answer == pytest.approx(10.0 / 80_000)
    assert peer.cpu_per_answer == pytest.approx((5.0 + 7.5 - 0.5) / 8_000)


def test_ratios_are_judged_by_the_targets() -> None:
    rate, p99, cpu = targets(results(8000.0))
    assert (rate.ratio, rate.met, p99.met, cpu.met) == (pytest.approx(10.0), True, True, True)
    assert "10.0 x   target >= 5 x: met; goal 10 x: reached" in rate.text()
    assert "met; goal 10 x: not reached" in targets(results(7000.0))[0].text()
    rate, _, _ = targets(results(3000.0))
    assert not rate.met
    assert "MISSED" in rate.text()


def test_a_stale_answer_is_a_fault_and_is_told() -> None:
    figures = Figures(machine={}, results=results(8000.0))
    assert figures.faults == 0
    figures.results[0].rounds.append(turn(8000.0, p99=0.004, cpu=10.0, stale=2))
    assert figures.faults == 2
    assert any("2 FAULTS" in line for line in result_lines(figures.results))
    assert figures.as_json()["results"][0]["rounds"][3]["stale"] == 2


def test_usage_is_of_what_runs() -> None:
    """CPU time of this very process, and memory of its group, which holds at least this interpreter."""
    early = Usage.now()
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    late = Usage.now()
    assert late.own - early.own >= 0.1
    assert late.busy > early.busy
    mine = next(Group(leader) for leader in late.by_leader if Group(leader).resident_mb() > 10)
    assert mine.peak_resident_mb() >= mine.resident_mb() * 0.9


# The load generator.


class Answers(BaseHTTPRequestHandler):
    """/AGE... answers items stamped so many seconds ago, /chunked/AGE in chunks of seven bytes, /404 not at all."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        *how, age = self.path.strip("/").split("/")
        items = "".join(f'{{"timestamp":"{_ago(int(each))}"}}' for each in age.split(",") if age != "404")
        self.send_response(404 if age == "404" else 200)
        if how:
            self.send_header("Transfer-Encoding", "chunked")
            pieces = [items[at : at + 7] for at in range(0, len(items), 7)] + [""]
            body = "".join(f"{len(piece):x}\r\n{piece}\r\n" for piece in pieces)
        else:
            self.send_header("Content-Length", str(len(items)))
            body = items
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


def _ago(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, int]]:
    folder = tmp_path_factory.mktemp("load")
    try:
        program = compiled(folder)
    except LoadFailed as reason:
        pytest.skip(str(reason))
    authority = Authority(folder, "ca")
    shown, client = authority.server("server", ["127.0.0.1"]), authority.client("front-proxy-client")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(shown.certificate, shown.key)
    tls.load_verify_locations(authority.certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.daemon_threads = True
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield Client(program=program, certificate=client.certificate, key=client.key, folder=folder), server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.skipif(not shutil.which("cc") and not shutil.which("gcc"), reason="no C compiler")
@pytest.mark.parametrize(
    ("target", "non_2xx", "stale"),
    [
        pytest.param("/1,2,3", False, False, id="fresh"),
        pytest.param("/1,2,99", False, True, id="one-item-is-old"),
        pytest.param("/404", True, False, id="not-found"),
        pytest.param("/chunked/1,2,3", False, False, id="fresh-in-chunks"),
        pytest.param("/chunked/1,2,99", False, True, id="old-in-chunks"),
    ],
)
def test_the_load_counts_what_is_no_good_answer(
    served: tuple[Client, int], target: str, non_2xx: bool, stale: bool
) -> None:
    client, port = served
    load = client.run(port, [target], seconds=0.3, max_age_seconds=15, connections=2, per_second=50)
    assert 10 <= load.requests <= 16
    assert (load.non_2xx, load.stale) == (load.requests * non_2xx, load.requests * stale)
    assert 0 < load.p50 <= load.p99 <= load.max < 5


def test_the_timetable_is_kept_and_a_closed_loop_is_faster(served: tuple[Client, int]) -> None:
    client, port = served
    timed = client.run(port, ["/1"], seconds=0.5, max_age_seconds=15, connections=2, per_second=40)
    assert 18 <= timed.requests <= 21
    loop = client.run(port, ["/1"], seconds=0.5, max_age_seconds=15, connections=2)
    assert loop.requests > timed.requests
