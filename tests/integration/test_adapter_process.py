"""Starting, becoming ready, telling of itself, stopping: the process and its command."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from adapter_cluster import eventually
from adapter_process import adapter_process
from adapter_world import (
    EXTERNAL,
    PAGE_0,
    PODS,
    SERVING_CA,
    START_SECOND,
    WAITING,
    Adapter,
    Configuration,
    HandClock,
    HandTrigger,
    client,
    collected,
    configuration,
    running,
)
from adapter_world import Pages as PodPages
from made_certificates import SERVER, make
from typer.testing import CliRunner

from adapter.cli import app as cli
from adapter.errors import BadInput
from adapter.server import serve


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[Adapter]:
    async with collected(tmp_path) as one:
        yield one


# Readiness, and what it tells of itself.


async def test_it_is_ready_after_the_first_collection_that_gave_anything(tmp_path: Path) -> None:
    async with running(tmp_path) as adapter:
        adapter.list_targets(adapter.pages.group("/0", namespace="llm", pod="vllm-0"))
        assert (await adapter.get("/healthz"))[0] == 200
        assert await adapter.get("/readyz") == (503, "no collection is complete yet of: scrape")
        await adapter.collect()
        status, text = await adapter.get("/readyz")
        assert (status, "none of 1 pages could be had" in text) == (503, True)
        adapter.pages.show("/0", PAGE_0)
        await adapter.collect()
        assert await adapter.get("/readyz") == (200, "ok")
        adapter.pages.answers.clear()
        await adapter.collect(after_seconds=3600)
        assert await adapter.get("/readyz") == (200, "ok"), "to leave the Service would help nobody"


async def test_the_adapter_tells_of_itself(adapter: Adapter) -> None:
    await adapter.get("/apis/nowhere")
    await adapter.get(f"{PODS}/*/{WAITING}")
    await adapter.get(f"{PODS}/*/{WAITING}")
    adapter.clock.second += 10
    own = await adapter.own_metrics()
    url = f"http://127.0.0.1:{adapter.pages.port}"
    expected = {
        'leadtime_adapter_requests_total{api="custom",code="200"}': 2,
        'leadtime_adapter_requests_total{api="other",code="404"}': 1,
        'leadtime_adapter_request_duration_seconds_count{api="custom"}': 2,
        'leadtime_adapter_source_up{source="scrape"}': 1,
        'leadtime_adapter_source_collections_total{outcome="success",source="scrape"}': 1,
        'leadtime_adapter_source_last_success_timestamp_seconds{source="scrape"}': START_SECOND + 0.999999999,
        f'leadtime_adapter_sample_age_seconds{{metric="{WAITING}"}}': 10,
        f'leadtime_adapter_target_up{{target="{url}/0"}}': 1,
        f'leadtime_adapter_target_up{{target="{url}/dcgm"}}': 1,
        "leadtime_adapter_rules_usable": 1,
        'leadtime_adapter_faults{part="discovery"}': 0,
        'leadtime_adapter_faults{part="security"}': 0,
        "leadtime_adapter_pods": 2,
        "leadtime_adapter_connections": 1,
    }
    assert {name: own.get(name) for name in expected} == pytest.approx(expected)


async def test_a_restart_serves_with_its_first_collection_and_is_not_ready_before(tmp_path: Path) -> None:
    """Twice the same process in real time: while its first collection is held back it is alive and not ready, and
    says of no metric that it is missing; once that is in, it is ready within 2 s, and then has the value."""
    async with PodPages().served() as pages:
        pages.show("/0", f"{WAITING} 3\n")
        group = pages.group("/0", namespace="llm", pod="vllm-0")
        (tmp_path / "targets.json").write_text(json.dumps([group]))
        document = configuration(tmp_path, scrape={"timeoutSeconds": 15})
        for _ in range(2):
            asked, let_go = asyncio.Event(), asyncio.Event()
            pages.on_request = lambda _, asked=asked: asked.set()  # type: ignore[misc]
            pages.hold = let_go.wait
            async with adapter_process(tmp_path, document) as process, client(tmp_path) as hpa:
                async with asyncio.timeout(10):
                    await asked.wait()
                assert await get(hpa, f"{process.url}/livez") == (200, "ok")
                not_yet = (503, "no collection is complete yet of: scrape")
                assert await get(hpa, f"{process.url}/readyz") == not_yet
                assert (await get(hpa, f"{process.url}{PODS}/*/{WAITING}"))[0] == 503
                let_go.set()
                await eventually(partial(is_ready, hpa, process.url), seconds=2)
                status, text = await get(hpa, f"{process.url}{PODS}/*/{WAITING}")
                assert (status, json.loads(text)["items"][0]["value"]) == (200, "3000m")
                assert await process.end() == 0


async def is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    return (await get(session, f"{url}/readyz"))[0] == 200


async def get(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with session.get(url) as response:
        return response.status, await response.text()


# Starting and stopping.


async def test_the_end_of_the_trigger_closes_the_port(tmp_path: Path) -> None:
    async with running(tmp_path) as adapter:
        port = adapter.port
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", port)


def command(folder: Path, document: Configuration, *flags: str) -> list[str]:
    (folder / "adapter.yaml").write_text(json.dumps(document, indent=1))
    return ["serve", "--config", str(folder / "adapter.yaml"), *flags]


Spoil = Callable[[Path, Configuration], object]


def rules(text: str) -> Spoil:
    def spoil(folder: Path, document: Configuration) -> None:
        (folder / "rules.yaml").write_text(text)
        document["rules"] = [str(folder / "rules.yaml")]

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            lambda folder, it: it["servingCertificate"].update(certFile=str(folder / "none")),
            "certFile: was '{folder}/none', must be a readable file",
            id="no-certificate",
        ),
        pytest.param(
            lambda folder, it: it["servingCertificate"].update(keyFile=str(folder / "client-ca.pem")),
            "certFile, keyFile: were",
            id="no-key-in-its-file",
        ),
        pytest.param(
            lambda folder, _: (folder / "serving.key").write_text(make("other", SERVING_CA, uses=SERVER).key_pem),
            "certFile, keyFile: were",
            id="anothers-key",
        ),
        pytest.param(
            lambda _, it: it["servingCertificate"].pop("keyFile"),
            "{folder}/adapter.yaml:6: servingCertificate.keyFile: was not set",
            id="a-certificate-without-a-key",
        ),
        pytest.param(
            lambda folder, _: (folder / "client-ca.pem").write_text("nothing"),
            "clientCAFile: was",
            id="no-ca-in-its-file",
        ),
        pytest.param(
            lambda folder, _: (folder / "targets.json").write_text("{"), "discovery.targetsFile: ", id="no-json"
        ),
        pytest.param(
            lambda _, it: it["server"].update(port=70000),
            "{folder}/adapter.yaml:4: server.port: was 70000, must be in [0, 65535]; correct it",
            id="a-port-out-of-range",
        ),
        pytest.param(
            lambda _, it: it["server"].update(host="192.0.2.1"),
            "server.host, server.port: were '192.0.2.1', 0",
            id="anothers-address",
        ),
        pytest.param(
            lambda _, it: it.update(sauces=[]),
            "{folder}/adapter.yaml:21: sauces: was not expected, did you mean sources?",
            id="an-unknown-field",
        ),
        pytest.param(
            lambda _, it: it["sources"].append({"scrape": {}, "prometheus": {"url": "http://127.0.0.1:9090"}}),
            "{folder}/adapter.yaml:20: sources[1]: had scrape and prometheus, must have exactly one of",
            id="two-kinds-in-one-source",
        ),
        pytest.param(
            lambda _, it: it["sources"][0]["scrape"].update(intervalSeconds=1, timeoutSeconds=2),
            "{folder}/adapter.yaml:18: sources[0].scrape.timeoutSeconds: was 2, must be at most intervalSeconds (1)",
            id="a-timeout-longer-than-its-interval",
        ),
        pytest.param(
            rules("apiVersion: adapter.leadtime.dev/v1alpha1\nkind: MetricRules\nrules:\n- {name: a b}\n"),
            "{folder}/rules.yaml:4: rules[0].name: was 'a b', must be 1 to 253 of letters",
            id="a-wrong-rule",
        ),
    ],
)
def test_what_an_operator_gets_wrong_is_one_line_and_exit_2(tmp_path: Path, spoil: Spoil, message: str) -> None:
    document = configuration(tmp_path)
    spoil(tmp_path, document)
    result = CliRunner().invoke(cli, command(tmp_path, document))
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("leadtime adapter: " + message.format(folder=tmp_path))


def test_check_reads_everything_and_starts_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, command(tmp_path, configuration(tmp_path), "--check"))
    assert result.exit_code == 0
    assert result.stdout.startswith("leadtime adapter: good: 1 sources, ")


async def test_a_port_in_use_is_named(adapter: Adapter) -> None:
    taken = adapter.settings.model_copy(
        update={"server": adapter.settings.server.model_copy(update={"port": adapter.port})}
    )
    with pytest.raises(BadInput, match=f"server.port: were '127.0.0.1', {adapter.port}, must be .* free port"):
        await serve(taken, clock=HandClock(), trigger=HandTrigger(), on_listening=lambda _: None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_listens_collects_at_once_and_stops_at_a_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Also while a client is connected; an operator finds no error in its log."""
    async with PodPages().served() as pages:
        pages.show("/0", f"{WAITING} 3\n")
        group = pages.group("/0", namespace="llm", pod="vllm-0")
        (tmp_path / "targets.json").write_text(json.dumps([group]))
        async with adapter_process(tmp_path, configuration(tmp_path)) as process, client(tmp_path) as hpa:

            async def has_the_value() -> bool:
                return (await get(hpa, f"{process.url}{EXTERNAL}/{WAITING}"))[0] == 200

            await eventually(has_the_value)
            began = time.monotonic()
            process.process.send_signal(number)
            assert await asyncio.wait_for(process.process.wait(), 10) == 0
            assert time.monotonic() - began < 8
            log = process.log.read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log
