"""The page over HTTP: its files and its two answers, all of them read-only."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from aiohttp import web

from autoscaler.cluster import Key
from autoscaler.page.as_json import LISTED, autoscaler_json, list_json
from autoscaler.page.shown import Shown

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

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_LONGEST_SEARCH = 200

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes(shown: Shown) -> list[web.RouteDef]:
    """For the controller's server. Paths in the page are relative, so it works behind the API server's proxy too."""
    assets = sorted((asset.name, asset.read_bytes()) for asset in files("autoscaler.page").joinpath("assets").iterdir())
    page = next(content for name, content in assets if name == "page.html")

    async def listed(request: web.Request) -> web.Response:
        search = request.query.get("search", "")[:_LONGEST_SEARCH]
        limit = _whole(request, "limit", LISTED, 1, 10_000)
        return _json(list_json(shown, search, limit))

    async def one(request: web.Request) -> web.Response:
        key = Key(request.match_info["namespace"], request.match_info["name"])
        answer = autoscaler_json(shown, key, _whole(request, "after", 0, 0, 2**32 - 1))
        if answer is None:
            message = f"no PredictiveAutoscaler {key.name} in namespace {key.namespace}"
            return _json({"reason": "NotFound", "message": message}, status=404)
        return _json(answer)

    return [
        web.get("/", _file("page.html", page)),
        *(web.get(f"/{name}", _file(name, content)) for name, content in assets),
        web.get("/api/v1/autoscalers", listed),
        web.get("/api/v1/autoscalers/{namespace}/{name}", one),
    ]


def _file(name: str, content: bytes) -> Handler:
    tag = hashlib.sha256(content).hexdigest()[:16]
    content_type = _TYPES[name.rpartition(".")[2]]

    async def answer(request: web.Request) -> web.Response:
        headers = {**_HEADERS, "ETag": f'"{tag}"', "Cache-Control": "no-cache"}
        if any(known.value == tag for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, content_type=content_type, charset="utf-8", headers=headers)

    return answer


def _json(document: dict[str, Any], status: int = 200) -> web.Response:
    body = json.dumps(document, separators=(",", ":"), allow_nan=False)
    headers = {**_HEADERS, "Cache-Control": "no-store"}
    response = web.Response(text=body, status=status, content_type="application/json", headers=headers)
    response.enable_compression()
    return response


def _whole(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    """A query parameter. Raises 400."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and low <= int(text) <= high):
        message = f"{name}: was {text[:40]!r}, must be a whole number in [{low}, {high}]; correct it"
        raise web.HTTPBadRequest(text=message, headers=_HEADERS)
    return int(text)
