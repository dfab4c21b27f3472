"""Kubernetes Status objects for errors.

No Retry-After and no retryAfterSeconds ever: client-go would sleep and retry up to ten times inside an HPA
worker. Source: client-go rest/with_retry.go; apiserver pkg/endpoints/handlers/responsewriters.
"""

import json
from typing import Literal

from aiohttp import web

Reason = Literal["BadRequest", "Unauthorized", "NotFound", "MethodNotAllowed"]
_CODES: dict[Reason, int] = {"BadRequest": 400, "Unauthorized": 401, "NotFound": 404, "MethodNotAllowed": 405}


class StatusError(Exception):
    """An answer other than success; the application turns it into a Status."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def status_response(error: StatusError) -> web.Response:
    """The Status of an error with a reason."""
    return _response(_CODES[error.reason], str(error), {"reason": error.reason})


def internal_error_response() -> web.Response:
    """The Status of a fault of ours: no reason, as for any untyped error, and no detail."""
    return _response(500, "internal server error; the adapter's log holds the cause", {})


def json_response(body: object, code: int = 200) -> web.Response:
    """JSON as Go writes it: no spaces, UTF-8."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return web.Response(status=code, text=text, content_type="application/json", charset=None)


def _response(code: int, message: str, reason: dict[str, str]) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        **reason,
        "code": code,
    }
    return json_response(status, code)
