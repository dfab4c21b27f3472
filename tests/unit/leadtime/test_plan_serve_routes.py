"""The planner's page over HTTP: who may ask, uploads within bounds, answers and their files."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from fake_planner import FakePlanner

from leadtime.plan.serve_form import FIELDS, FieldFault, defaults_of
from leadtime.plan.serve_queue import PlanQueue
from leadtime.plan.serve_routes import application, recordings_in
from leadtime.plan.serve_uploads import MOST_KEPT, Uploads

TOKEN = "a-token"  # noqa: S105 - of the test
SENT = {"X-Leadtime-Token": TOKEN}
VALUES = defaults_of(demand="poisson:rate=1", model="llama-3.1-8b", gpus="l4")
MOST_BYTES = 100_000

Client = TestClient[Any, Any]
Check = Callable[[Mapping[str, str], str], None]


@asynccontextmanager
async def page(
    folder: Path, planner: FakePlanner | None = None, check: Check = lambda _values, _demand: None
) -> AsyncIterator[Client]:
    uploads = folder / "uploads"
    uploads.mkdir()
    queue = PlanQueue(planner or FakePlanner(), folder / "out")
    app = application(queue, Uploads(uploads, MOST_BYTES), VALUES, TOKEN, check=check)
    async with TestClient(TestServer(app)) as client:
        yield client
        await queue.close()


async def run_over(client: Client) -> dict[str, Any]:
    """The newest run, once it is over."""
    while True:
        run: dict[str, Any] = (await (await client.get("/api/runs")).json())["runs"][0]
        if run["state"] not in ("waiting", "running"):
            return run


async def test_a_question_is_answered_with_figures_and_files(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        asked = await client.post("/api/runs", json=VALUES, headers=SENT)
        assert asked.status == 201
        run = await run_over(client)
        assert run["state"] == "done"
        assert run["values"] == VALUES
        assert run["command"] == "leadtime plan --demand poisson:rate=1 --model llama-3.1-8b --gpus l4"
        assert run["figures"]["machine"] == "g2-standard-4"
        assert run["files"] == ["plan.html", "plan.json", "hpa.yaml"]
        manifest = await client.get(f"/runs/{run['number']}/hpa.yaml")
        assert await manifest.text() == "kind: HorizontalPodAutoscaler\n"
        assert manifest.headers["Content-Disposition"] == 'attachment; filename="hpa.yaml"'
        assert manifest.content_type == "text/plain"


async def test_a_report_runs_its_own_script_and_is_kept_from_the_page(tmp_path: Path) -> None:
    """Its origin is opaque: without that its script could read the page's token."""
    async with page(tmp_path) as client:
        await client.post("/api/runs", json=VALUES, headers=SENT)
        run = await run_over(client)
        report = await client.get(f"/runs/{run['number']}/plan.html")
        policy = report.headers["Content-Security-Policy"]
        assert "sandbox allow-scripts;" in policy
        assert "allow-same-origin" not in policy
        assert report.content_type == "text/html"


@pytest.mark.parametrize(
    "path", ["/runs/1/..%2F..%2Fsecret", "/runs/1/.plan.json", "/runs/2/plan.json", "/runs/x/plan.json"]
)
async def test_only_files_of_an_answer_are_given_out(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("not for you")
    async with page(tmp_path) as client:
        await client.post("/api/runs", json=VALUES, headers=SENT)
        await run_over(client)
        assert (await client.get(path)).status == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost:9000", 200),
        ("localhost", 200),
        ("planner.example:8765", 421),
        ("127.0.0.1.planner.example", 421),
        ("localhost.planner.example:8765", 421),
        ("", 421),
    ],
)
async def test_a_foreign_host_name_gets_nothing(tmp_path: Path, host: str, status: int) -> None:
    """DNS rebinding: the browser believes that the name is the attacker's, and sends it."""
    async with page(tmp_path) as client:
        for path in ("/", "/api/runs", "/api/form"):
            assert (await client.get(path, headers={"Host": host})).status == status


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no-token"),
        pytest.param({"X-Leadtime-Token": "b-token"}, id="another-token"),
        pytest.param({"X-Leadtime-Token": "\u00e4"}, id="a-token-that-is-no-ascii"),
        pytest.param({**SENT, "Origin": "http://planner.example"}, id="another-origin"),
        pytest.param({**SENT, "Origin": "null"}, id="a-sandboxed-origin"),
    ],
)
async def test_nothing_is_changed_for_another_page(tmp_path: Path, headers: dict[str, str]) -> None:
    async with page(tmp_path) as client:
        for path in ("/api/runs", "/api/runs/1/cancel", "/api/uploads?name=a.csv"):
            assert (await client.post(path, json=VALUES, headers=headers)).status == 403
        assert (await (await client.get("/api/runs")).json())["runs"] == []
        assert list((tmp_path / "uploads").iterdir()) == []


async def test_no_other_origin_may_read_anything(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        for path in ("/", "/page.js", "/api/form", "/api/runs"):
            answer = await client.get(path, headers={"Origin": "http://planner.example"})
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert (await client.options("/api/runs", headers={"Origin": "http://planner.example"})).status == 403


async def test_the_page_knows_the_token_and_the_form_its_fields(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        assert f'<meta name="token" content="{TOKEN}">' in await (await client.get("/")).text()
        form = await (await client.get("/api/form")).json()
        assert form["defaults"] == VALUES
        assert [field["name"] for field in form["fields"]] == [field.name for field in FIELDS]


async def test_a_fault_comes_back_with_its_field_and_nothing_is_asked(tmp_path: Path) -> None:
    def faulty(_values: Mapping[str, str], _demand: str) -> None:
        raise FieldFault("slo", "--slo: was 'x'")

    async with page(tmp_path, check=faulty) as client:
        answer = await client.post("/api/runs", json=VALUES, headers=SENT)
        assert answer.status == 400
        assert await answer.json() == {"field": "slo", "message": "--slo: was 'x'"}
        assert (await client.post("/api/runs", data=b"{", headers=SENT)).status == 400
        assert (await client.post("/api/runs", data=b" " * 200_000, headers=SENT)).status == 413
        assert (await (await client.get("/api/runs")).json())["runs"] == []


async def test_a_full_queue_is_told(tmp_path: Path) -> None:
    async with page(tmp_path, FakePlanner(holds=True)) as client:
        statuses = [(await client.post("/api/runs", json=VALUES, headers=SENT)).status for _ in range(8)]
        assert statuses[0] == 201
        assert statuses[-1] == 409


async def test_a_run_that_goes_on_is_shown_and_can_be_cancelled(tmp_path: Path) -> None:
    planner = FakePlanner(holds=True)
    async with page(tmp_path, planner) as client:
        number = (await (await client.post("/api/runs", json=VALUES, headers=SENT)).json())["number"]
        await planner.began.wait()
        run = (await (await client.get("/api/runs")).json())["runs"][0]
        assert run["state"] == "running"
        assert run["progress"] == {"stage": "searching", "done": 3, "total": 7, "kept": 0}
        assert (await client.post(f"/api/runs/{number}/cancel", headers=SENT)).status == 200
        assert (await run_over(client))["state"] == "cancelled"
        assert (await client.post("/api/runs/99/cancel", headers=SENT)).status == 404


async def test_an_uploaded_recording_is_the_demand_under_its_own_name(tmp_path: Path) -> None:
    checked: list[str] = []
    async with page(tmp_path, check=lambda _, demand: checked.append(demand)) as client:
        sent = await client.post("/api/uploads?name=my%20../week.csv", data=b"arrival_seconds\n", headers=SENT)
        assert sent.status == 201
        kept = await sent.json()
        assert kept["name"] == "my-..-week.csv", "no separators of paths"
        asked = await client.post("/api/runs", json={**VALUES, "source": "upload", "upload": kept["key"]}, headers=SENT)
        run = await asked.json()
        assert run["name"] == "my-..-week.csv"
        assert str(tmp_path) not in run["command"]
        assert Path(checked[0]).is_relative_to(tmp_path / "uploads")
        await run_over(client)
    assert [each.read_bytes() for each in (tmp_path / "uploads").rglob("*.csv")] == [b"arrival_seconds\n"]


@pytest.mark.parametrize(
    ("name", "length", "text"),
    [
        pytest.param("week.xlsx", 10, "must end in .csv", id="another-format"),
        pytest.param("", 10, "must end in .csv", id="no-name"),
        pytest.param("week.csv", MOST_BYTES + 1, "is larger than 0.1 MB", id="too-large"),
    ],
)
async def test_an_upload_that_is_not_kept_says_why(tmp_path: Path, name: str, length: int, text: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for begin in range(0, length, 1_000):
            yield b"x" * min(1_000, length - begin)

    async with page(tmp_path) as client:
        for data in (b"x" * length, pieces()):  # with a length that is told before, and without
            answer = await client.post("/api/uploads", params={"name": name}, data=data, headers=SENT)
            assert answer.status == 400
            told = await answer.json()
            assert told["field"] == "upload"
            assert text in told["message"]
        assert list((tmp_path / "uploads").iterdir()) == []


async def test_only_so_many_uploads_are_kept(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        statuses = [
            (await client.post("/api/uploads?name=a.csv", data=b"x", headers=SENT)).status for _ in range(MOST_KEPT + 1)
        ]
        assert statuses == [201] * MOST_KEPT + [400]


@pytest.mark.parametrize("key", ["", "unknown", "../../etc/passwd"])
async def test_an_upload_that_is_not_there_is_a_fault_of_the_form(tmp_path: Path, key: str) -> None:
    async with page(tmp_path) as client:
        answer = await client.post("/api/runs", json={**VALUES, "source": "upload", "upload": key}, headers=SENT)
        assert answer.status == 400
        assert (await answer.json())["field"] == "upload"


async def test_the_page_answers_while_a_form_is_checked(tmp_path: Path) -> None:
    """A check reads the demand, which takes seconds; it is done aside."""
    loop, entered, go = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def slow(_values: Mapping[str, str], _demand: str) -> None:
        loop.call_soon_threadsafe(entered.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(30)

    async with page(tmp_path, check=slow) as client:
        asked = asyncio.create_task(client.post("/api/runs", json=VALUES, headers=SENT))
        await entered.wait()
        assert (await client.get("/api/runs")).status == 200
        go.set()
        assert (await asked).status == 201
        await run_over(client)


def test_recordings_beside_the_command_are_offered(tmp_path: Path) -> None:
    for name in ("week.csv", "day.jsonl.gz", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.csv").mkdir()
    assert recordings_in(tmp_path) == ["day.jsonl.gz", "week.csv"]
    assert recordings_in(tmp_path / "missing") == []
