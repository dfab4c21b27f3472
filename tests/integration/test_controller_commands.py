"""`leadtime explain`, `init` and `doctor` over real HTTP, as a person runs them with a kubeconfig."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from made_up_outcomes import KEY, NOW_NS, autoscaler, shown, steps

from autoscaler.crd.parse import parse_spec
from autoscaler.explain.status import status_of
from autoscaler.page.as_json import autoscaler_json
from autoscaler.page.history import History
from leadtime.doctor.command import doctor_command
from leadtime.explain_autoscaler import PROXY, explain_command
from leadtime.init.command import init_command
from policies.errors import BadInput

HPA = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "llama-chat", "namespace": "serving"},
    "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"}, "maxReplicas": 20},
}


def test_explain_goes_from_the_object_to_the_leaders_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _cluster(tmp_path, _objects()) as (kubeconfig, _):
        explain_command("pa/llama-chat", namespace="serving", kubeconfig=kubeconfig)
        text = capsys.readouterr().out
        explain_command("llama-chat", namespace="serving", kubeconfig=kubeconfig, as_json=True)
        answer = json.loads(capsys.readouterr().out)
    assert "  capacity  2.4 requests/s a replica, 95 % within TTFT 2 s and TPOT 0.075 s: 11.86 replicas now" in text
    assert "new node, image pulled: 8 pods, median 262 s" in text
    assert answer["controller"]["decision"]["desiredReplicas"] == answer["object"]["status"]["desiredReplicas"] == 15


def test_explain_does_without_the_page_and_takes_it_by_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = _objects()
    page = objects.pop(f"{PROXY}/api/v1/autoscalers/serving/llama-chat")
    with _cluster(tmp_path, {**objects, "/api/v1/autoscalers/serving/llama-chat": page}) as (kubeconfig, address):
        explain_command("pa/llama-chat", namespace="serving", kubeconfig=kubeconfig)
        assert "the controller's page did not answer (404" in capsys.readouterr().out
        explain_command("pa/llama-chat", namespace="serving", kubeconfig=kubeconfig, controller=address)
        assert "new node, image pulled: 8 pods" in capsys.readouterr().out


def test_explain_says_what_is_not_there(tmp_path: Path) -> None:
    with (
        _cluster(tmp_path, {}) as (kubeconfig, _),
        pytest.raises(BadInput, match=r"PredictiveAutoscaler chat in namespace serving: is not there; the CRD"),
    ):
        explain_command("pa/chat", namespace="serving", kubeconfig=kubeconfig)


def test_init_prints_what_the_controller_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a right to see the workload less is guessed, and that is said beside the manifest."""
    with _cluster(tmp_path, _objects()) as (kubeconfig, _):
        init_command(["hpa/llama-chat"], namespace="serving", kubeconfig=kubeconfig)
    out, err = capsys.readouterr()
    made = yaml.safe_load(out)
    assert made["metadata"] == {"name": "llama-chat", "namespace": "serving"}
    assert parse_spec(made["spec"]).max_replicas == 20
    assert "less was seen than there is" in err


def test_doctor_reads_everything_and_fails_on_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _cluster(tmp_path, _objects()) as (kubeconfig, _), pytest.raises(typer.Exit) as ended:
        doctor_command(kubeconfig=kubeconfig, as_json=True)
    assert ended.value.exit_code == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    by_check = {each["check"]: each for each in findings}
    assert by_check["clock"]["level"] == "ok", "the Date header of this very machine"
    assert by_check["crd"]["what"].startswith("the CRD predictiveautoscalers.autoscaling.leadtime.dev is not installed")
    assert by_check["controller"]["level"] == "fail"


def test_a_cluster_that_is_away_is_one_line(tmp_path: Path) -> None:
    with _cluster(tmp_path, {}) as (kubeconfig, _):
        pass
    with pytest.raises(BadInput, match=r"no answer Unreachable.*look at the cluster's address in the kubeconfig"):
        doctor_command(kubeconfig=kubeconfig)


def _objects() -> dict[str, Any]:
    """path -> answer: one object after two hours of steps, the leader's page, and an HPA."""
    history = History()
    status: dict[str, Any] = {}
    for step in steps(7200):
        history.record(step)
        status = status_of(step, status)
    found = {
        "metadata": {"name": KEY.name, "namespace": KEY.namespace, "uid": "uid-1", "generation": 1},
        "spec": _spec(),
        "status": status,
    }
    what = replace(shown(history, {KEY: autoscaler()}), now_ns=lambda: NOW_NS)
    root = "/apis/autoscaling.leadtime.dev/v1alpha1"
    return {
        f"{root}/namespaces/serving/predictiveautoscalers/llama-chat": found,
        f"{root}/predictiveautoscalers": {"items": [found]},
        f"{PROXY}/api/v1/autoscalers/serving/llama-chat": autoscaler_json(what, KEY),
        "/apis/autoscaling/v2/namespaces/serving/horizontalpodautoscalers/llama-chat": HPA,
        "/version": {"gitVersion": "v1.36.3"},
    }


def _spec() -> dict[str, Any]:
    spec = autoscaler().spec
    assert spec is not None
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)


@contextmanager
def _cluster(folder: Path, objects: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """(kubeconfig, address) of a server that answers by path, and 404 as an API server does."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer()

        def _answer(self) -> None:
            found = objects.get(self.path.partition("?")[0])
            body = json.dumps(found if found is not None else {"reason": "NotFound", "message": "not found"}).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    kubeconfig = folder / "kubeconfig"
    named = [{"name": "x", "cluster": {"server": address}}]
    context = [{"name": "x", "context": {"cluster": "x", "user": "x"}}]
    configuration = {
        "current-context": "x",
        "clusters": named,
        "contexts": context,
        "users": [{"name": "x", "user": {}}],
    }
    kubeconfig.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    try:
        yield kubeconfig, address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
