"""Why a metric has the value it has, or none: the endpoint, and the command that asks it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from adapter_world import HPA, PAGE_0, PODS, SERVING_CA, WAITING, Adapter, collected
from typer.testing import CliRunner

from adapter.cli import app as cli
from adapter.explain_text import as_text


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[Adapter]:
    async with collected(tmp_path) as one:
        yield one


async def test_explain_says_where_a_value_comes_from_and_why_one_is_missing(adapter: Adapter) -> None:
    adapter.pages.show("/0", PAGE_0.replace("9.5", "NaN"))
    await adapter.collect(after_seconds=15)
    adapter.clock.second += 5
    told = await adapter.get_json(f"{PODS}/*/{WAITING}?explain=true")
    assert (told["kind"], told["metric"], told["source"]) == ("MetricExplanation", WAITING, "scrape")
    (source,) = told["sources"]
    assert source["lastSuccess"] == "2023-11-14T22:13:35Z"
    rows = {(one["pod"], one["value"], one["ageSeconds"], one["state"], one["why"]) for one in told["samples"]}
    assert rows == {
        ("vllm-0", 3.0, 5.0, "fresh", ""),
        ("vllm-0", None, 5.0, "missing", "NaN"),
        ("vllm-1", 1.0, 5.0, "fresh", ""),
    }
    code, message = await adapter.refusal(f"{PODS}/*/queue_depth?explain=true")
    assert code == 404
    assert message.startswith("the server could not find the metric queue_depth for pods: no rule has this name;")


async def test_a_pod_without_series_is_told_with_its_page_and_why_that_could_not_be_read(adapter: Adapter) -> None:
    adapter.list_targets(
        adapter.pages.group("/0", namespace="llm", pod="vllm-0", app="vllm"),
        adapter.pages.group("/nowhere", namespace="llm", pod="vllm-2", app="vllm"),
        {"targets": [], "labels": {"namespace": "llm", "pod": "batch", "app": "batch"}},
    )
    await adapter.collect(after_seconds=15)
    told = await adapter.get_json(f"{PODS}/*/{WAITING}?explain=true&labelSelector=app%3Dbatch")
    (pod,) = told["podsWithoutSeries"]
    assert (pod["pod"], pod["foundBy"], pod["pages"]) == ("batch", "the targets file", [])
    text = as_text(await adapter.get_json(f"{PODS}/vllm-2/tgi_queue_size?explain=true"))
    assert "pod vllm-2: no series; readiness unknown; page named by the targets file" in text
    assert "/nowhere: status was 500, must be 200" in text


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        pytest.param(
            (WAITING,),
            [
                f"{WAITING} in namespace llm",
                "source scrape: in use, last success 2023-11-14T22:13:35Z",
                "vllm-0 - 5s missing NaN; app=vllm,engine=1,model_name=llama,tier=a",
            ],
            id="of-pods",
        ),
        pytest.param(
            ("VLLM:NUM_REQUESTS_WAITING", "--external", "--selector", "pod=vllm-1"),
            ["vllm-1 1 5s fresh app=vllm,engine=0,model_name=mistral,tier=b"],
            id="external",
        ),
        pytest.param(("tgi_queue_size",), ["problem source scrape gives no series of it"], id="of-no-page"),
    ],
)
async def test_the_explain_command_prints_it(adapter: Adapter, arguments: tuple[str, ...], lines: list[str]) -> None:
    adapter.pages.show("/0", PAGE_0.replace("9.5", "NaN"))
    await adapter.collect(after_seconds=15)
    adapter.clock.second += 5
    kubeconfig = ("--kubeconfig", str(as_api_server(adapter)))
    command = ["explain", *arguments, "-n", "llm", *kubeconfig]
    shown = await asyncio.to_thread(CliRunner().invoke, cli, command)
    assert shown.exit_code == 0, shown.output
    told = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert set(lines) <= set(told), shown.stdout
    whole = await asyncio.to_thread(CliRunner().invoke, cli, [*command, "--json"])
    assert json.loads(whole.stdout)["kind"] == "MetricExplanation"


async def test_the_explain_command_says_what_was_refused_in_one_line(adapter: Adapter) -> None:
    kubeconfig = ("--kubeconfig", str(as_api_server(adapter)))
    shown = await asyncio.to_thread(CliRunner().invoke, cli, ["explain", "queue_depth", "-n", "llm", *kubeconfig])
    assert (shown.exit_code, shown.stderr.count("\n")) == (2, 1)
    assert "the server could not find the metric queue_depth for pods: no rule has this name" in shown.stderr


def as_api_server(adapter: Adapter) -> Path:
    """A kubeconfig that asks the adapter itself, as its HPA: what a kube-apiserver would do between them."""
    folder = adapter.folder
    for name, text in (("ca", SERVING_CA.pem), ("crt", HPA.pem), ("key", HPA.key_pem)):
        (folder / f"kubeconfig.{name}").write_text(text)
    cluster = {"server": adapter.url, "certificate-authority": str(folder / "kubeconfig.ca")}
    user = {"client-certificate": str(folder / "kubeconfig.crt"), "client-key": str(folder / "kubeconfig.key")}
    file = folder / "kubeconfig"
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
                "clusters": [{"name": "here", "cluster": cluster}],
                "users": [{"name": "here", "user": user}],
            }
        )
    )
    return file
