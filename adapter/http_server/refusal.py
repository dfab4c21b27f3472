"""Errors as Kubernetes Status objects, and those that the server gives before a request reaches its handler.

Source: apimachinery pkg/apis/meta/v1/types.go (Status, StatusDetails, StatusReason).
"""

import json
from collections.abc import Mapping

from adapter.http_server.response import JSON, response


def status_body(code: int, reason: str, message: str, details: Mapping[str, object] | None = None) -> bytes:
    """A metav1.Status in JSON. reason: "" for none. Never retryAfterSeconds: see `response`."""
    status: dict[str, object] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
    }
    if reason:
        status["reason"] = reason
    if details:
        status["details"] = dict(details)
    status["code"] = code
    return json.dumps(status, separators=(",", ":"), ensure_ascii=False).encode()


def _refusal(code: int, reason: str, message: str) -> bytes:
    return response(code, status_body(code, reason, message), JSON)


MALFORMED = _refusal(400, "BadRequest", "malformed HTTP request")
TOO_LARGE = _refusal(413, "RequestEntityTooLarge", "the request's body is too large")
HEADERS_TOO_LARGE = _refusal(431, "BadRequest", "the request's headers are too large")
INTERNAL_ERROR = _refusal(500, "InternalError", "internal server error; the adapter's log holds the cause")
"""Without detail: what went wrong inside is told to the log only."""
