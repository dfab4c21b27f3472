"""The planner's page in a real browser: a form that is wrong at first, a real plan, runs that are compared.

The browser is never narrower than 500 px by itself, so the page is in a frame of the width that is asked for. Time in
it is virtual and stands still while an answer is awaited: the list of runs is answered only when there is news.
"""

import asyncio
import html
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from headless_chromium import Opened, needs_chromium, opened

from leadtime.plan.files import DOCUMENT, PAGE
from leadtime.plan.runs import OnProgress, Progress
from leadtime.plan.serve_form import check, defaults_of
from leadtime.plan.serve_process import planner
from leadtime.plan.serve_queue import Job, Planner, PlanQueue
from leadtime.plan.serve_routes import CONTENT_SECURITY_POLICY, application
from leadtime.plan.serve_uploads import Uploads

TOKEN = "a-token"  # noqa: S105 - of the test
DEMAND = "diurnal:rate=4,minutes=30,peak_hour=0,seed=4,prompt_tokens=300,output_tokens=60"
QUESTION: dict[str, Any] = {
    "demand": DEMAND,
    "model": "llama-3.1-8b",
    "gpus": "l4",
    "slo": "2,0.12",
    "attainment": 0.95,
    "lead_time": "120",
    "policies": "static",
    "seeds": "1",
    "months": 0,
    "start": "2026-11-22",
}
BEST = {
    "candidate": "l4",
    "machine": {"name": "g2-standard-4"},
    "policy": "static",
    "parameters": {"replicas": "3"},
    "max_replicas": 5,
    "attainment": {"value": 0.991, "low": 0.99, "high": 0.993},
    "replicas": {"value": 3.0, "low": 3.0, "high": 3.0},
    "peak_replicas": {"value": 3.0, "low": 3.0, "high": 3.0},
    "spot_share": None,
}
RECORDING = "arrival_seconds,prompt_tokens,output_tokens\n" + "".join(f"{2 * i},300,60\n" for i in range(200))

DRIVER = """
const told = parent.document.body.dataset;
const $ = (id) => document.getElementById(id);
const until = async (is) => { while (!is()) await new Promise((resolve) => setTimeout(resolve, 20)); };
const type = (name, value) => {
  $(`field-${name}`).value = value;
  $(`field-${name}`).dispatchEvent(new Event("input", { bubbles: true }));
};
const state = (number) => $(`run-${number}`)?.dataset.state;
const measure = () => {
  const root = document.documentElement;
  told.overflow = Math.max(Number(told.overflow ?? 0), root.scrollWidth - root.clientWidth);
  told.width = innerWidth;
};
await until(() => $("ask"));
measure();
"""

ONE_PLAN = """
type("slo", "2;0.12");
type("target", "Deployment/mine");
$("ask").click();
await until(() => !$("fault-slo").hidden);
told.fault = $("fault-slo").textContent;
told.focused = document.activeElement.id;
told.invalid = $("field-slo").getAttribute("aria-invalid");
told.kept = $("field-slo").value + " " + $("field-target").value;
measure();
type("slo", "2,0.12");
$("form").requestSubmit();
await until(() => state(1) === "running" && $("progress-1"));
told.progress = $("progress-1").textContent;
told.faults = document.querySelectorAll("form .fault:not([hidden])").length;
measure();
await until(() => state(1) !== "running");
told.state = state(1);
told.compared = $("compared-table").textContent;
told.files = [...document.querySelectorAll("#run-1 a[download]")].map((link) => link.textContent).join(" ");
for (const each of document.querySelectorAll("details")) each.open = true;
measure();
told.answer = $("run-1").querySelector("dl").textContent;
const inputs = [...document.querySelectorAll("input")];
told.unlabelled = inputs.filter((each) => !each.labels.length).length;
told.small = [...document.querySelectorAll("button, input:not([type=radio])")]
  .filter((each) => each.offsetParent && each.offsetHeight < 40).length;
told.finished = 1;
"""

SEVERAL = """
$("source-upload").click();
const chosen = new DataTransfer();
chosen.items.add(new File([RECORDING], "week <b>.csv"));
$("field-upload").files = chosen.files;
$("field-upload").dispatchEvent(new Event("change", { bubbles: true }));
$("ask").click();
await until(() => state(1) === "done");
type("growth", "2");
$("ask").click();
await until(() => state(2) === "done");
$("source-generator").click();
type("generator", "poisson:rate=1,minutes=5");
$("ask").click();
await until(() => state(3) === "running");
$("cancel-3").focus();
told.focusKept = document.activeElement.id;
$("cancel-3").click();
await until(() => state(3) === "cancelled");
type("generator", "poisson:rates=1");
$("ask").click();
await until(() => !$("fault-generator").hidden);
told.fault = $("fault-generator").textContent;
$("reuse-2").click();
told.reused = [$("field-growth").value, $("source-upload").checked, $("field-upload").dataset.key !== ""].join(" ");
$("ask").click();
await until(() => state(4) === "done");
told.rows = [...document.querySelectorAll("#compared-table tbody tr")].map((row) => row.className || "-").join(" ");
told.compared = $("compared-table").textContent;
told.markup = document.querySelectorAll("#runs-list b, #compared-table b").length;
measure();
told.finished = 1;
"""


@needs_chromium
@pytest.mark.parametrize("width", [390])
async def test_a_question_is_mended_asked_and_answered(tmp_path: Path, width: int) -> None:
    """On a phone: the fault is at its field, nothing typed is lost, the run is followed to its report and files."""
    async with site(tmp_path, planner(tmp_path / "out", 1), width, ONE_PLAN) as address:
        page = await asyncio.to_thread(opened, f"{address}/frame.html", tmp_path / "profile")
        told = told_by(page)
        assert told.get("finished") == "1", (told, page.console)
        assert told["fault"].startswith("--slo: was '2;0.12', must be 2 numbers in [0.001, 3600]")
        assert (told["focused"], told["invalid"], told["kept"]) == ("field-slo", "true", "2;0.12 Deployment/mine")
        assert re.fullmatch(r"[a-z, ]+: [\d,]+ of [\d,]+.*", told["progress"])
        assert told["faults"] == "0"
        assert told["state"] == "done"
        found = json.loads((tmp_path / "out" / "run-1" / DOCUMENT).read_text())
        for shown in ("l4", "g2-standard-4", "static", f"${found['best']['usd_per_month']['value']:,.0f}"):
            assert shown in told["compared"]
        assert found["answer"]["Quota"] in told["answer"]
        assert told["files"] == "plan.json node-pools.sh node-pools.yaml"
        assert (told["width"], told["overflow"]) == (str(width), "0")
        assert (told["unlabelled"], told["small"]) == ("0", "0")
        assert all("400 (Bad Request)" in line for line in page.console), page.console
        report = await asyncio.to_thread(opened, f"{address}/runs/1/{PAGE}", tmp_path / "profile")
        assert 'data-plots="3"' in report.dom
        assert 'data-requests="0"' in report.dom
        async with ClientSession() as session, session.get(f"{address}/runs/1/node-pools.sh") as answer:
            assert "gcloud container node-pools create l4-on-demand" in await answer.text()


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
async def test_runs_are_compared_cancelled_and_asked_again(tmp_path: Path, width: int) -> None:
    driver = f"const RECORDING = {json.dumps(RECORDING)};\n{SEVERAL}"
    async with site(tmp_path, costing(), width, driver) as address:
        page = await asyncio.to_thread(opened, f"{address}/frame.html", tmp_path / "profile", "--window-size=1400,900")
    told = told_by(page)
    assert told.get("finished") == "1", (told, page.console)
    assert told["focusKept"] == "cancel-3"
    assert "did you mean rate?" in told["fault"]
    assert told["reused"] == "2 true true"
    assert told["rows"] == "- - best", "newest first; the cheapest is the first that was asked"
    for shown in ("$1,000", "$2,000", "+100 %", "week-b-.csv", "$990 to $1,010"):
        assert shown in told["compared"], shown
    assert told["markup"] == "0"
    assert (told["width"], told["overflow"]) == (str(width), "0")
    assert all("400 (Bad Request)" in line for line in page.console), page.console


async def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    """As a planner starts and ends it; a plan that goes on is ended with it, and what was uploaded is gone."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leadtime", "plan", "--serve", "--port", "0", "--out", str(tmp_path / "out")),
        *("--demand", DEMAND.replace("minutes=30", "minutes=3000"), "--model", "llama-3.1-8b", "--gpus", "l4"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        match = re.match(r"plan: (http://127\.0\.0\.1:\d+)/ ", line)
        assert match is not None, line
        async with ClientSession(match[1]) as session:
            page = await (await session.get("/")).text()
            sent = {"X-Leadtime-Token": re.findall('name="token" content="([^"]+)"', page)[0]}
            defaults = (await (await session.get("/api/form")).json())["defaults"]
            uploaded = await session.post("/api/uploads?name=a.csv", data=RECORDING.encode(), headers=sent)
            assert uploaded.status == 201
            assert len(kept_in(tmp_path, "*/a.csv")) == 1
            assert (await session.post("/api/runs", json=defaults, headers=sent)).status == 201
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    assert "plan: ended; answers stay, uploads were removed" in out.decode()
    assert err == b""
    assert kept_in(tmp_path, "") == []


async def test_a_cancelled_plan_leaves_no_process(tmp_path: Path) -> None:
    """Its process is ended and waited for before the cancellation is over."""
    begun = asyncio.Event()
    job = Job(
        values=defaults_of(**{**QUESTION, "demand": DEMAND.replace("minutes=30", "minutes=3000")}),
        demand=DEMAND.replace("minutes=30", "minutes=3000"),
        name="long",
        out=tmp_path / "run-1",
    )
    job.out.mkdir()
    task = asyncio.create_task(planner(tmp_path, 2)(job, lambda _: begun.set()))
    beginning = asyncio.create_task(begun.wait())
    await asyncio.wait([task, beginning], return_when=asyncio.FIRST_COMPLETED)
    assert begun.is_set(), f"it ended at once: {task}"
    children = children_of(os.getpid())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children
    assert [each for each in children if each in children_of(os.getpid())] == []


def costing() -> Planner:
    """A planner without simulation: $1,000 a month times the growth; a generator's plan never ends."""

    async def plan(job: Job, on_progress: OnProgress) -> None:
        on_progress(Progress(stage="searching", done=1, total=2))
        if job.values["source"] == "generator":
            await asyncio.Event().wait()
        cost = 1_000.0 * float(job.values["growth"])
        best = {**BEST, "usd_per_month": {"value": cost, "low": cost - 10, "high": cost + 10}}
        (job.out / DOCUMENT).write_text(json.dumps({"best": best, "answer": {"GPU": "1 x <b>NVIDIA-L4</b>"}}))
        (job.out / PAGE).write_text("<!doctype html><title>made up</title>")

    return plan


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in text.read_text().split()] if text.exists() else []


def kept_in(folder: Path, of_upload: str) -> list[Path]:
    return list(folder.glob(f"leadtime-plan-*/{of_upload}" if of_upload else "leadtime-plan-*"))


def told_by(page: Opened) -> dict[str, str]:
    """What the driver wrote at the frame's parent."""
    body = re.search(r"<body([^>]*)>", page.dom)
    assert body is not None, page.dom
    return {
        re.sub("-(.)", lambda found: found[1].upper(), name): html.unescape(value)
        for name, value in re.findall(r'data-([a-z-]+)="([^"]*)"', body[1])
    }


@asynccontextmanager
async def site(folder: Path, plan: Planner, width: int, driver: str) -> AsyncIterator[str]:
    """The page, and at /frame.html the same page in a frame, with a driver beside its own script."""
    uploads = folder / "uploads"
    uploads.mkdir()
    (folder / "out").mkdir()
    queue = PlanQueue(plan, folder / "out")
    app = application(queue, Uploads(uploads), defaults_of(**QUESTION), TOKEN, check=check)
    news: list[Any] = [None]

    @web.middleware
    async def only_news(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """A list of runs is answered when it differs from the last, or all are over."""
        if request.path == "/api/runs" and request.method == "GET":
            while news[0] == (now := state_of(queue)) and not all(run.is_over for run in queue.listed()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # a real plan goes on meanwhile
            news[0] = now
        return await handler(request)

    async def framed(_: web.Request) -> web.Response:
        text = f'<!doctype html><body><iframe src="/driven.html" width="{width}" height="800"></iframe>'
        return web.Response(text=text.replace("<iframe", '<iframe style="border:0"'), content_type="text/html")

    async def driven(request: web.Request) -> web.Response:
        async with ClientSession() as session, session.get(f"http://{request.host}/") as answer:
            text = await answer.text()
        text = text.replace("</head>", '<script type="module" src="driver.js"></script></head>')
        policy = CONTENT_SECURITY_POLICY.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def driving(_: web.Request) -> web.Response:
        return web.Response(text=DRIVER + driver, content_type="text/javascript")

    app.middlewares.append(only_news)
    app.add_routes([web.get("/frame.html", framed), web.get("/driven.html", driven), web.get("/driver.js", driving)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await queue.close()
        await runner.cleanup()


def state_of(queue: PlanQueue) -> list[Any]:
    """What counts as news: not each step, because the browser waits a second of its 8 after each answer."""
    return [(run.number, run.state, run.progress is not None) for run in queue.listed()]
