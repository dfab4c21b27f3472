"""`leadtime whatif`, as people run it: on a generator, on a local server that answers as Prometheus does, on the real
one with its history filled in; and its page in a browser as wide as a phone."""

import json
import math
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import typer
from headless_chromium import dom_of, needs_chromium
from typer.testing import CliRunner

from leadtime.whatif import whatif_command
from policies.errors import BadInput
from simulations.history.tuned import Trial, best

app = typer.Typer()
app.command()(whatif_command)

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
PODS = ("m-0", "m-1")
RATE, PROMPT, OUTPUT = 3.0, 400, 150
MINUTES = 200
QUICK = ("--attainment", "0.95")
GIVEN = ("--hpa", "hpa-total-demand")
"""None is tuned: quicker."""


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)


def counters(pod: str, seconds: float) -> dict[str, float]:
    """What a server shows `seconds` after its start: a wave of an hour around a rate that the pods share."""
    answered = RATE / len(PODS) * (seconds - 900 / math.tau * math.sin(seconds / 3_600 * math.tau) * (pod != ""))
    return {
        "vllm:request_success_total": round(answered),
        "vllm:num_requests_running": 6.0,
        "vllm:num_requests_waiting": 0.0,
        "vllm:prompt_tokens_total": round(answered) * PROMPT,
        "vllm:generation_tokens_total": round(answered) * OUTPUT,
    }


class FakePrometheus:
    """Answers /api/v1/query_range for the last MINUTES; `spoil` changes the samples of a series, by name."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.spoil: Callable[[str, list[Any]], list[Any]] = lambda _, samples: samples
        self.missing: set[str] = set()
        self.spelled: Mapping[str, str] = {}  # vLLM's name -> what another server calls it
        self.begun = time.time() - 60 * MINUTES
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
                result = fake.answer(asked["query"], *(float(asked[key]) for key in ("start", "end", "step")))
                body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        self.asked.append(query)
        times = [start + step * k for k in range(int((end - start) / step + 1e-6) + 1)]
        times = [at for at in times if at >= self.begun]
        if "kube_pod_status_ready_time" in query:
            return [
                {"metric": {"pod": f"m-{n}"}, "values": [[at, str(180 + 10 * n)] for at in times]} for n in range(5)
            ]
        if "kube_deployment_status_replicas_ready" in query:
            return [{"metric": {}, "values": [[at, "4"] for at in times]}]
        if "_bucket" in query:
            return [
                {"metric": {"le": le}, "values": [[at, str(count)] for at in times]} for le, count in BUCKETS.items()
            ]
        name = next((each for each in counters("", 0.0) if self.spelled.get(each, each) in query), "")
        if not name or name in self.missing:
            return []
        if query.startswith("count"):
            return [{"metric": {}, "values": [[at, "4"] for at in times]}]
        return [
            {
                "metric": {"pod": pod},
                "values": self.spoil(name, [[at, str(counters(pod, at - self.begun)[name])] for at in times]),
            }
            for pod in PODS
        ]


BUCKETS = {"0.05": 500, "0.1": 990, "2.5": 1_000, "+Inf": 1_000}
"""Of every histogram: 990 of 1,000 are within a TTFT of 2 s, and half between 50 and 100 ms."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrometheus]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fake = FakePrometheus()
    yield fake
    fake.close()


def ask(
    server: FakePrometheus, folder: Path, *more: object, hpa: tuple[str, ...] = GIVEN
) -> tuple[str, dict[str, Any]]:
    """The printed text and the figures."""
    files = ("--report", folder / "page.html", "--json", folder / "figures.json")
    result = run("--prometheus", server.url, "--days", 0.5, *QUICK, *hpa, *files, *more)
    assert result.exit_code == 0
    return result.stdout, json.loads((folder / "figures.json").read_text())


def test_another_servers_past_is_the_same(server: FakePrometheus, tmp_path: Path) -> None:
    """By SGLang's names for the same five counters; TTFT of streamed answers alone."""
    names = (
        "num_requests_total",
        "num_running_reqs",
        "num_queue_reqs",
        "prompt_tokens_total",
        "generation_tokens_total",
    )
    server.spelled = {vllm: f"sglang:{name}" for vllm, name in zip(counters("", 0.0), names, strict=True)}
    text, figures = ask(server, tmp_path, "--server", "sglang", "--selector", 'namespace="llm"', "--lead-time", 200)
    rows = {row["policy"]: row for row in figures["policies"]}
    assert rows["leadtime"]["requests"] == pytest.approx(RATE * 86_400 * figures["judged_days"], rel=0.1)
    assert figures["measured"]["ttft"] == pytest.approx(0.99 + 0.01 * 1.9 / 2.4)
    assert "growth of sglang:num_requests_total + sglang:num_running_reqs" in " ".join(text.split())
    ttft = 'sglang:time_to_first_token_seconds_bucket{namespace="llm",is_streaming!="false"}'
    assert any(ttft in query for query in server.asked)
    assert not any("vllm:" in query for query in server.asked)


def test_a_services_own_past(server: FakePrometheus, tmp_path: Path) -> None:
    """Demand, lead time, what ran and what the servers' histograms say all come from Prometheus."""
    text, figures = ask(server, tmp_path, "--deployment", "llm/m", "--selector", 'namespace="llm"')
    assert 'sum by (namespace, pod, instance) (vllm:request_success_total{namespace="llm"})' in server.asked
    assert figures["days"] * 1_440 == pytest.approx(MINUTES, abs=3)
    rows = {row["policy"].partition(",")[0]: row for row in figures["policies"]}
    assert list(rows) == ["leadtime", "what ran", "hpa-total-demand", "static", "clairvoyant"]
    assert rows["leadtime"]["requests"] == pytest.approx(RATE * 86_400 * figures["judged_days"], rel=0.1)
    assert rows["what ran"]["gpu_hours"] == pytest.approx(4 * 24 * figures["judged_days"], rel=0.01)
    assert all(row["gpu_hours"] > 0 and 0 <= row["delivered"] <= 1 for row in rows.values())
    assert figures["measured"]["ttft"] == pytest.approx(0.99 + 0.01 * 1.9 / 2.4)
    assert figures["measured"]["tpot"] == pytest.approx(0.745)
    assert "your servers' histograms of the judged part: TTFT in time 99.79%, TPOT in time 74.50%" in text
    assert "history: Prometheus has 0.14 of the 0.5 days asked for" in text
    assert figures["lead_seconds"] == pytest.approx(200.0)
    assert "lead time: 200 s, the median of 5 pods from creation to Ready (kube-state-metrics)" in figures["notes"]
    assert figures["repairs"] == {}


def test_where_no_hpa_is_given_one_is_tuned(server: FakePrometheus, tmp_path: Path) -> None:
    """A row for each asked attainment, in the answer's first sentence too; the targets tried are told."""
    text, figures = ask(server, tmp_path, "--attainment", "0.99", hpa=())
    rows = [row for row in figures["policies"] if row["policy"] == "HPA, tuned"]
    assert [row["asked"] for row in rows] == [0.95, 0.99]
    assert all(row["over_clairvoyant"] > 0 for row in rows)
    targets = [trial["target"] for trial in figures["tuning"]]
    assert len(targets) >= 6
    (said,) = [note for note in figures["notes"] if note.startswith("HPA, tuned: ")]
    assert f"targets of {', '.join(f'{target:g}' for target in targets)} a replica" in said
    for row in rows:
        taken = best([Trial(**trial) for trial in figures["tuning"]], row["asked"])
        assert f"for {row['asked']:g} {taken.target:g}, " in said
        assert f"{taken.delivered:.2%} with {taken.gpu_hours:,.1f} GPU-hours" in said
        assert f", the HPA tuned for it {row['delivered']:.2%} with {row['gpu_hours']:,.1f}." in text


def spoiled(name: str, samples: list[list[Any]]) -> list[list[Any]]:
    """Out of order, twice, NaN, a restart and two gaps."""
    if name != "vllm:request_success_total":
        return samples
    begun = samples[0][0]
    kept = [
        [at, "NaN" if 600 <= at - begun < 720 else str(int(value) - int(samples[100][1]) * (at >= samples[100][0]))]
        for at, value in samples
        if not (2_400 <= at - begun < 2_640 or 7_800 <= at - begun < 8_700)
    ]
    return [kept[1], kept[0], *kept[2:], kept[-1]]


def test_a_spoiled_past_is_repaired_and_said(server: FakePrometheus, tmp_path: Path) -> None:
    """Counted, printed, not judged where nothing is known, and about as many requests as without."""
    server.spoil = spoiled
    text, figures = ask(server, tmp_path)
    repairs = {what.partition(":")[0]: number for what, number in figures["repairs"].items()}
    assert repairs["samples out of order"] == 2
    assert repairs["samples of an instant that was there already"] == 2
    assert repairs["samples NaN, infinite or above 1e15"] == 4
    assert repairs["counters that fell"] == 2
    assert repairs["minutes without a sample, up to 10 in a row"] in range(4, 9)
    assert figures["not_judged_minutes"] == pytest.approx(15, abs=1)
    assert "repaired: 2 counters that fell: counted from 0, as of a restarted server" in text
    requests = sum(part["requests"] for part in figures["ages"])
    assert requests == pytest.approx(RATE * 60 * MINUTES, rel=0.1)


def test_what_is_not_there_is_assumed_and_a_slip_is_told(server: FakePrometheus, tmp_path: Path) -> None:
    """Tokens and replicas that nobody counts; a query of requests/s that is per minute from the middle on."""
    server.missing = {"vllm:prompt_tokens_total", "vllm:num_requests_running"}
    server.spoil = lambda name, samples: [
        [at, str(0.1 * (60 if place >= 100 else 1)) if name == "vllm:request_success_total" else value]
        for place, (at, value) in enumerate(samples)
    ]
    text, figures = ask(server, tmp_path, "--prompt-tokens", 333, "--query", "rate(vllm:request_success_total[1m])")
    assert "prompts: no tokens are counted; 333 tokens a request are assumed" in text
    assert "what ran is not known" in text
    assert "what ran" not in [row["policy"] for row in figures["policies"]]
    assert len(figures["warnings"]) == 1
    assert "demand became 60 times what it was: a unit slip (per minute for per second)?" in text


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        pytest.param(lambda _: [], "has fewer than 2 samples of", id="none"),
        pytest.param(lambda samples: samples[:1], "has fewer than 2 samples of", id="one"),
        pytest.param(lambda samples: samples[:30], "has 29 whole minutes, must have at least 120", id="too-few"),
        pytest.param(lambda samples: [[at, "0"] for at, _ in samples], "has no request at all", id="all-zeros"),
        pytest.param(
            lambda samples: samples[:30] + samples[-30:], "is in gaps, must be at most 50%", id="mostly-a-gap"
        ),
    ],
)
def test_a_past_that_says_nothing_is_refused(
    server: FakePrometheus, tmp_path: Path, samples: Any, message: str
) -> None:
    """One message with the remedy, never a traceback."""
    server.missing = {"vllm:num_requests_running", "vllm:num_requests_waiting"}
    server.spoil = lambda _, found: samples(found)
    with pytest.raises(BadInput, match=message):
        ask(server, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "PATH and --prometheus: one of the two", id="nothing"),
        pytest.param(["x.csv", "--prometheus", "http://x"], "one of the two must be given", id="both"),
        pytest.param(
            ["poisson:rate=1", "--hpa", "x", "--hpa-manifest", "y"], "--hpa and --hpa-manifest", id="two-hpas"
        ),
        pytest.param(["poisson:rate=1", "--attainment", 1.5], "--attainment: was 1.5, must be in", id="attainment"),
        pytest.param(["poisson:rate=1", "--attainment", "nan"], "--attainment: was nan", id="nan"),
        pytest.param(["poisson:rate=1,minutes=30"], "lasts 30 minutes, must last at least 120", id="short"),
        pytest.param(["poisson:rate=1,minutes=180", "--judge-days", 3], "judge-days: was 3", id="judge-days"),
        pytest.param(["nothing.csv"], "nothing.csv does not exist", id="no-file"),
        pytest.param(["poisson:rate=1,minutes=150", "--hpa", "hpa-queu"], "did you mean hpa-queue", id="preset"),
        pytest.param(["poisson:rate=1", "--report", "/nowhere/x.html"], "--report: /nowhere", id="report"),
        pytest.param(["--prometheus", "http://x", "--deployment", "m"], "must be NAMESPACE/NAME", id="deployment"),
    ],
)
def test_bad_input_is_named(
    arguments: list[object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message with field, value and range."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=message):
        run(*arguments)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """A wave of four hours, with a manifest beside."""
    folder = tmp_path_factory.mktemp("whatif")
    manifest = folder / "hpa.yaml"
    manifest.write_text(MANIFEST)
    files = ("--report", folder / "page.html", "--json", folder / "figures.json")
    result = run("diurnal:rate=8,minutes=240", *QUICK, "--hpa-manifest", manifest, *files)
    assert result.exit_code == 0
    return folder, result.stdout, json.loads((folder / "figures.json").read_text())


MANIFEST = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: mine}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: m}
  minReplicas: 1
  maxReplicas: 9
  metrics:
  - type: Pods
    pods: {metric: {name: "vllm:num_requests_running"}, target: {type: AverageValue, averageValue: "8"}}
"""


def test_table_and_figures_say_the_same(generated: tuple[Path, str, dict[str, Any]]) -> None:
    """The manifest by its own name, ages, and the model's error in words."""
    _, text, figures = generated
    rows = {row["policy"].partition(",")[0]: row for row in figures["policies"]}
    assert list(rows) == ["leadtime", "mine", "static", "clairvoyant"]
    assert rows["mine"]["asked"] is None
    assert figures["tuning"] == []
    assert rows["clairvoyant"]["gpu_hours"] <= rows["static"]["gpu_hours"]
    assert rows["leadtime"]["over_clairvoyant"] == pytest.approx(
        rows["leadtime"]["gpu_hours"] / rows["clairvoyant"]["gpu_hours"]
    )
    assert [part["name"] for part in figures["ages"]] == ["first 6 hours"]
    assert f"{rows['leadtime']['delivered']:.2%}" in text
    assert "docs/frontier.md" in text
    worst = figures["worst_quarter_hours"]["0.95"]
    assert [row["missed"] for row in worst] == sorted((row["missed"] for row in worst), reverse=True)
    assert all("req/s now at" in row["decision"] and row["why"] for row in worst)


@needs_chromium
def test_the_page_fits_a_phone(generated: tuple[Path, str, dict[str, Any]], tmp_path: Path) -> None:
    """Every plot is drawn within the screen's width, and nothing is asked of the network."""
    page = (generated[0] / "page.html").read_text()
    (tmp_path / "page.html").write_text(page.replace("</body>", PROBE + "</body>"))
    frame = tmp_path / "frame.html"  # a headless window is never narrower than 500 pixels; a frame may be
    frame.write_text('<iframe src="page.html" style="width:390px;height:900px;border:0"></iframe>' + LISTENER)
    dom = dom_of(frame, "--window-size=1400,1000")
    assert 'data-seen="plots 3, requests 0, beyond 0"' in dom


PROBE = """<script>
document.addEventListener("drawn", () => {
  const root = document.documentElement, {plots, requests} = document.body.dataset;
  parent.postMessage(`plots ${plots}, requests ${requests}, beyond ${root.scrollWidth - root.clientWidth}`, "*");
});
</script>"""
LISTENER = '<script>addEventListener("message", event => { document.body.dataset.seen = event.data; });</script>'


@pytest.mark.skipif(PROMETHEUS is None or PROMTOOL is None, reason="no `prometheus` and `promtool` on PATH")
def test_a_real_prometheus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hours of two servers' counters, filled into a real server, one of which restarts."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    begun = (time.time() // 60 - MINUTES - 5) * 60
    lines = []
    for name in counters("", 0.0):
        kind = "counter" if name.endswith("_total") else "gauge"
        lines.append(f"# TYPE {name.removesuffix('_total')} {kind}")
        for pod in PODS:
            for at in range(0, 60 * MINUTES, 30):
                since = at - 6_000 if pod == "m-1" and at >= 6_000 else at
                value = counters(pod, since)[name]
                lines.append(f'{name}{{namespace="llm",pod="{pod}"}} {value} {begun + at:.0f}')
    (tmp_path / "history.txt").write_text("\n".join([*lines, "# EOF", ""]))
    assert PROMETHEUS is not None
    assert PROMTOOL is not None
    subprocess.run(  # noqa: S603 - the server's own tool on our own file
        [PROMTOOL, "tsdb", "create-blocks-from", "openmetrics", "history.txt", "data"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(  # noqa: S603 - the server under test
        [
            PROMETHEUS,
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url)
        files = ("--report", tmp_path / "page.html", "--json", tmp_path / "figures.json")
        result = run("--prometheus", url, "--days", 0.5, "--selector", 'namespace="llm"', *QUICK, *GIVEN, *files)
        assert result.exit_code == 0
    finally:
        process.terminate()
        process.wait(timeout=20)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert sum(part["requests"] for part in figures["ages"]) == pytest.approx(RATE * 60 * MINUTES, rel=0.1)
    ran = next(row for row in figures["policies"] if row["policy"] == "what ran")
    assert ran["gpu_hours"] == pytest.approx(2 * 24 * figures["judged_days"], rel=0.1)
    assert figures["measured"] == {"ttft": None, "tpot": None}


def _wait_until_ready(url: str) -> None:
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:  # noqa: S310 - our own server
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        threading.Event().wait(0.1)
    pytest.fail("Prometheus did not become ready")
