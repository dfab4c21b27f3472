"""The planner's page over HTTP: its files, its form, questions, uploads and answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web

from leadtime.plan.files import PAGE
from leadtime.plan.serve_form import FIELDS, FieldFault, check, command_of, values_of
from leadtime.plan.serve_guard import HEADERS, Handler, guard
from leadtime.plan.serve_queue import PlanQueue, Run
from leadtime.plan.serve_uploads import SUFFIXES, Uploads
from policies.errors import BadInput

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{what}-src 'self'" for what in ("script", "style", "img", "connect")),
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing from elsewhere, nothing inline, in nobody's frame."""

REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; frame-ancestors 'none'"
)
"""A report has its script within. It is of an origin of its own, so it could not read this page's token."""

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_MOST_FORM_BYTES = 2**17
_MOST_OFFERED = 50
_PIECE_BYTES = 2**16

Check = Callable[[Mapping[str, str], str], None]


def application(
    queue: PlanQueue,
    uploads: Uploads,
    defaults: Mapping[str, str],
    token: str,
    *,
    offered: Sequence[str] = (),
    check: Check = check,
) -> web.Application:
    """defaults: of the form. token: what a change needs. offered: recordings that are suggested. check: of a form."""
    app = web.Application(middlewares=[guard(token)], client_max_size=_MOST_FORM_BYTES)
    checking = asyncio.Lock()

    async def form(_: web.Request) -> web.Response:
        return _json(
            {
                "fields": [asdict(field) for field in FIELDS],
                "defaults": dict(defaults),
                "offered": list(offered),
                "mostUploadBytes": uploads.most_bytes,
                "suffixes": list(SUFFIXES),
            }
        )

    async def listed(_: web.Request) -> web.Response:
        return _json({"runs": [_run(queue, run) for run in queue.listed()]})

    async def ask(request: web.Request) -> web.Response:
        try:
            values = values_of(await request.json())
            demand, name = _demand(values, uploads)
            async with checking:
                await asyncio.to_thread(check, values, demand)
            run = queue.ask(values, demand, name)
        except FieldFault as fault:
            return _json({"field": fault.field, "message": fault.text}, status=400)
        except BadInput as error:
            return _json({"field": "", "message": str(error)}, status=409)
        except ValueError:
            return _json({"field": "", "message": "the form: must be JSON; reload the page"}, status=400)
        return _json(_run(queue, run), status=201)

    async def cancel(request: web.Request) -> web.Response:
        run = _found(queue, request)
        queue.cancel(run)
        return _json(_run(queue, run))

    async def upload(request: web.Request) -> web.Response:
        name = request.query.get("name", "")
        try:
            uploads.check_length(name, request.content_length or 0)
            kept = await uploads.keep(name, _pieces(request))
        except BadInput as error:
            return _json({"field": "upload", "message": str(error)}, status=400)
        return _json({"key": kept.key, "name": kept.name, "bytes": kept.bytes}, status=201)

    async def answer_file(request: web.Request) -> web.StreamResponse:
        run, name = _found(queue, request), request.match_info["name"]
        if name not in run.files:
            raise web.HTTPNotFound(text=f"run {run.number} has no file {name[:80]!r}", headers=HEADERS)
        path = run.job.out / name
        if name == PAGE:
            own = {"Content-Security-Policy": REPORT_POLICY, "Content-Type": "text/html; charset=utf-8"}
        else:
            own = {
                "Content-Security-Policy": CONTENT_SECURITY_POLICY,
                "Content-Type": "text/plain; charset=utf-8",
                "Content-Disposition": f'attachment; filename="{name}"',
            }
        return web.FileResponse(path, headers={**HEADERS, **own})

    for name, content in _assets().items():
        if name == "page.html":
            app.router.add_get("/", _file(name, content.replace(b"{token}", token.encode())))
        else:
            app.router.add_get(f"/{name}", _file(name, content))
    app.add_routes(
        [
            web.get("/api/form", form),
            web.get("/api/runs", listed),
            web.post("/api/runs", ask),
            web.post(r"/api/runs/{number:\d{1,9}}/cancel", cancel),
            web.post("/api/uploads", upload),
            web.get(r"/runs/{number:\d{1,9}}/{name}", answer_file),
        ]
    )
    return app


def recordings_in(folder: Path) -> list[str]:
    """Names of what looks like recordings there, to choose from."""
    try:
        names = sorted(each.name for each in folder.iterdir() if each.name.endswith(SUFFIXES) and each.is_file())
    except OSError:
        return []
    return names[:_MOST_OFFERED]


def _demand(values: Mapping[str, str], uploads: Uploads) -> tuple[str, str]:
    """As the command takes it, and as people call it. Raises FieldFault."""
    source = values["source"]
    if source != "upload":
        return values[source], values[source]
    if not values["upload"]:
        raise FieldFault("upload", "--demand: was not uploaded; choose a file, or name a path or a generator")
    kept = uploads.find(values["upload"])
    if kept is None:
        raise FieldFault("upload", "--demand: this upload is not kept any more; choose the file again")
    return str(kept.path), kept.name


def _run(queue: PlanQueue, run: Run) -> dict[str, Any]:
    job = run.job
    is_upload = job.values["source"] == "upload"
    return {
        "number": run.number,
        "state": run.state,
        "name": job.name,
        "values": dict(job.values),
        "command": command_of(job.values, job.name if is_upload else job.demand),
        "progress": None if run.progress is None else asdict(run.progress),
        "seconds": queue.seconds(run),
        "error": run.error,
        "figures": dict(run.figures),
        "files": list(run.files),
    }


def _found(queue: PlanQueue, request: web.Request) -> Run:
    number = int(request.match_info["number"])
    run = queue.find(number)
    if run is None:
        raise web.HTTPNotFound(text=f"there is no run {number} in this session", headers=HEADERS)
    return run


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    async for piece in request.content.iter_chunked(_PIECE_BYTES):
        yield piece


def _assets() -> dict[str, bytes]:
    folder = files("leadtime.plan").joinpath("serve_assets")
    return {asset.name: asset.read_bytes() for asset in sorted(folder.iterdir(), key=lambda asset: asset.name)}


def _file(name: str, content: bytes) -> Handler:
    content_type = _TYPES[name.rpartition(".")[2]]

    async def answer(_: web.Request) -> web.Response:
        headers = {**HEADERS, "Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return web.Response(body=content, content_type=content_type, charset="utf-8", headers=headers)

    return answer


def _json(document: dict[str, Any], status: int = 200) -> web.Response:
    body = json.dumps(document, separators=(",", ":"))
    headers = {**HEADERS, "Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return web.Response(text=body, status=status, content_type="application/json", headers=headers)
