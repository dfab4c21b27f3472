"""Who may ask: only pages that this server gave out, in a browser on this machine.

A server on the loopback is reached by every page that the browser has open. Three things keep them out: the Host header
is looked at, so that a foreign name that was made to resolve to 127.0.0.1 (DNS rebinding) gets nothing; no CORS header
is ever sent, so nobody else reads an answer; and what changes something needs a token in a header of its own, which
only the page knows and which a foreign page could send only after a preflight that fails.
"""

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

TOKEN_HEADER = "X-Leadtime-Token"  # noqa: S105 - the name of a header

HOSTS = ("localhost", "127.0.0.1")

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard(token: str) -> Middleware:
    """Refuses foreign hosts with 421, changes without the token or from another origin with 403."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if host.rpartition(":")[0] not in HOSTS and host not in HOSTS:
            raise web.HTTPMisdirectedRequest(
                text=f"Host: was {host[:80]!r}, must be {' or '.join(HOSTS)}; open the address that was printed",
                headers=HEADERS,
            )
        if request.method not in ("GET", "HEAD"):
            origin = request.headers.get("Origin")
            sent = request.headers.get(TOKEN_HEADER, "")
            if origin not in (None, f"http://{host}") or not hmac.compare_digest(sent.encode(), token.encode()):
                raise web.HTTPForbidden(
                    text=f"{TOKEN_HEADER}: is not this server's; reload the page",
                    headers=HEADERS,
                )
        return await handler(request)

    return guarded
