"""The controller's page in a real browser, from a real server, over a made-up ramp."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from html import unescape
from importlib.resources import files
from pathlib import Path

import pytest
from aiohttp import web
from headless_chromium import Opened, needs_chromium, opened
from made_up_outcomes import KEY, autoscaler, shown, steps

from autoscaler.cluster import Key
from autoscaler.page.history import History
from autoscaler.page.routes import CONTENT_SECURITY_POLICY, routes
from autoscaler.page.shown import Shown

PROBE = """
const root = document.documentElement;
setTimeout(() => {
  document.body.dataset.width = innerWidth;
  document.body.dataset.overflow = root.scrollWidth - root.clientWidth;
  const shown = [...document.querySelectorAll("body *")].filter((one) => !one.closest("svg"));
  const wide = shown.filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5);
  document.body.dataset.wide = wide.map((one) => one.tagName + "." + one.className).join(" ");
  const plot = document.querySelector(".plot");
  if (!plot) return;
  const box = plot.getBoundingClientRect();
  plot.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + box.width * 0.3, clientY: box.top + 20 }));
  document.body.dataset.readout = document.querySelector(".readout").textContent;
}, 2000);
setTimeout(() => parent !== window && parent.postMessage(root.outerHTML, "*"), 4000);
"""
"""Served to the browser in tests only: how wide the window is and how much wider the page, what stands out of it, and
what a chart tells where one points at it. A framed page hands itself to the page around it."""

PHONE_PIXELS, DESKTOP_PIXELS = 390, 1280

FRAME = """<!doctype html>
<body style="margin:0"><iframe style="border:0" width="{width}" height="900"></iframe><script>
const told = document.createElement("pre");
onmessage = (message) => {{ told.textContent = message.data; document.body.append(told); }};
document.querySelector("iframe").src = "probed.html" + location.hash;
</script></body>"""
"""A window without a screen is at least 500 pixels wide; a frame in it may be as narrow as a phone."""

INTRUDER = """
const script = document.createElement("script");
script.textContent = "document.body.dataset.ran = 1";
document.body.append(script);
fetch("http://127.0.0.2:9/").catch(() => {});
"""


@needs_chromium
@pytest.mark.parametrize("width", [PHONE_PIXELS, DESKTOP_PIXELS])
async def test_one_autoscaler_is_shown_whole(tmp_path: Path, width: int) -> None:
    """Demand, forecast and replicas are drawn, decisions come in words, and the page is no wider than its window."""
    page = await _opened(tmp_path, _one_day(), f"#/{KEY.namespace}/{KEY.name}", width=width)
    for drawn in ("line demand", "line capacity", "area forecast", "line forecast", "line ahead"):
        assert f'<path class="{drawn}" d="M' in page.dom, drawn
    for drawn in ("area ready", "area starting", "line desired"):
        assert f'<path class="{drawn}" d="M' in page.dom, drawn
    assert "NaN" not in page.dom
    assert "15 replicas kept: 28.5 req/s now at 2.40 a replica" in page.dom
    assert page.dom.index("14 -&gt; 15 replicas") < page.dom.index("13 -&gt; 14 replicas"), "newest first"
    for told in (
        "new node 8 of 12",
        "warm node, image cached",
        "StockedOut",
        "is the leader",
        "(last day: 81 %)",
        "25 to 33",
    ):
        assert told in page.dom, told
    _check_width(page, width)
    assert re.search(r'data-readout="[\d:]{8}: [^"]*capacity ready 21.6, demand [\d.]+ requests/s"', page.dom)
    assert page.console == ()


@needs_chromium
async def test_a_list_of_a_thousand_begins_with_what_is_wrong(tmp_path: Path) -> None:
    """Only so many rows are sent as can be read; a broken object stands above all others."""
    history, autoscalers = History(), {}
    for number in range(1000):
        key = Key(f"team-{number % 7}", f"model-{number:04}")
        autoscalers[key] = autoscaler(key, f"uid-{number}")
        for step in steps(15, key=key, uid=f"uid-{number}"):
            history.record(step)
    broken = next(
        step for step in steps(1900, key=Key("zone", "z-last"), uid="z") if step.findings[1].status == "False"
    )
    autoscalers[broken.key] = autoscaler(broken.key, "z")
    history.record(broken)
    page = await _opened(tmp_path, shown(history, autoscalers), "", width=PHONE_PIXELS)
    rows = re.findall(r'<a href="#/([^"]+)"', page.dom)
    assert len(rows) == 100
    assert rows[0] == "zone/z-last"
    assert "first 100 of 1,001" in page.dom
    assert "2 of 9 ready pods gave no metrics" in page.dom
    _check_width(page, PHONE_PIXELS)
    assert page.console == ()


@needs_chromium
async def test_what_a_cluster_says_never_becomes_markup(tmp_path: Path) -> None:
    history = History()
    for step in steps(60, message='<img src="x" onerror="alert(1)"><script>alert(2)</script>'):
        history.record(step)
    page = await _opened(tmp_path, shown(history, {KEY: autoscaler()}), f"#/{KEY.namespace}/{KEY.name}")
    assert "&lt;img src=" in page.dom
    assert "<img" not in page.dom
    assert "<script>" not in page.dom
    assert page.console == ()


@needs_chromium
async def test_the_browser_runs_nothing_inline_and_asks_nobody_else(tmp_path: Path) -> None:
    """The policy is in force, and what the browser refuses is seen in its console: no refusal elsewhere is none."""
    page = await _opened(tmp_path, shown(History(), {}), "", probe=INTRUDER)
    assert "data-ran" not in page.dom
    for directive in ("script-src 'self'", "connect-src 'self'"):
        assert any(directive in line for line in page.console), page.console
    assert "There is no PredictiveAutoscaler yet" in page.dom


@needs_chromium
async def test_a_controller_that_is_away_is_said_and_the_last_answer_stays(tmp_path: Path) -> None:
    page = await _opened(tmp_path, _one_day(), f"#/{KEY.namespace}/{KEY.name}", answers=1)
    assert re.search(r"The controller is away \(it answered 503\)\. What is shown is of [\d:]+, \d+ s ago\.", page.dom)
    assert "15 replicas kept" in page.dom


def _one_day() -> Shown:
    history = History()
    for step in steps():
        history.record(step)
    return shown(history, {KEY: autoscaler()})


def _check_width(page: Opened, width: int) -> None:
    """The window was as wide as asked, and nothing has to be scrolled sideways or is cut off."""
    assert f'data-width="{width}"' in page.dom
    assert 'data-overflow="0"' in page.dom
    assert 'data-wide=""' in page.dom, re.search(r'data-wide="[^"]*"', page.dom)


async def _opened(
    folder: Path,
    what: Shown,
    at: str,
    *,
    width: int = DESKTOP_PIXELS,
    answers: int | None = None,
    probe: str = PROBE,
) -> Opened:
    """The page in a window of this width; of one that is as narrow as a phone what it handed to the page around it."""
    async with _served(what, answers, probe, width) as address:
        framed = width < DESKTOP_PIXELS
        url = f"{address}/{'frame' if framed else 'probed'}.html{at}"
        page = await asyncio.to_thread(opened, url, folder / "profile", f"--window-size={DESKTOP_PIXELS},900")
    if not framed:
        return page
    told = re.search(r"<pre>(.*)</pre>", page.dom, re.DOTALL)
    assert told is not None, f"the framed page told nothing: {page.dom[:500]} {page.console}"
    return Opened(unescape(told[1]), page.console)


@asynccontextmanager
async def _served(what: Shown, answers: int | None, probe: str, width: int) -> AsyncIterator[str]:
    """The page's address, with a probe beside it and a frame around it. answers: 503 to what the page asks after so
    many answers."""
    asked = 0

    @web.middleware
    async def limited(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        nonlocal asked
        asked += request.path.startswith("/api/")
        if answers is not None and asked > answers:
            raise web.HTTPServiceUnavailable
        return await handler(request)

    async def probed(_: web.Request) -> web.Response:
        page = files("autoscaler.page").joinpath("assets", "page.html").read_text(encoding="utf-8")
        page = page.replace("</head>", '<script type="module" src="probe.js"></script></head>')
        framed = CONTENT_SECURITY_POLICY.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
        headers = {"Content-Security-Policy": framed}
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def probing(_: web.Request) -> web.Response:
        return web.Response(text=probe, content_type="text/javascript")

    async def framing(_: web.Request) -> web.Response:
        return web.Response(text=FRAME.format(width=width), content_type="text/html")

    app = web.Application(middlewares=[limited])
    tested = [("/probed.html", probed), ("/probe.js", probing), ("/frame.html", framing)]
    app.add_routes([*routes(what), *(web.get(path, handler) for path, handler in tested)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
