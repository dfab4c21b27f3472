"""Kubernetes Status objects for errors, and JSON for the rest.

No Retry-After and no retryAfterSeconds ever: client-go would sleep and retry up to ten times inside an HPA
worker. Source: client-go rest/with_retry.go; apiserver pkg/endpoints/handlers/responsewriters; the reasons and
their codes: apimachinery pkg/apis/meta/v1/types.go, pkg/api/errors/errors.go.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Literal, TypedDict

from adapter.http_server.refusal import INTERNAL_ERROR, status_body
from adapter.http_server.response import response

Reason = Literal[
    "BadRequest",
    "Unauthorized",
    "Forbidden",
    "NotFound",
    "MethodNotAllowed",
    "NotAcceptable",
    "RequestEntityTooLarge",
    "InternalError",
    "ServiceUnavailable",
    "Timeout",
]
CODES: Mapping[Reason, int] = {
    "BadRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "NotAcceptable": 406,
    "RequestEntityTooLarge": 413,
    "InternalError": 500,
    "ServiceUnavailable": 503,
    "Timeout": 504,
}


class StatusDetails(TypedDict, total=False):
    """What the error is about. kind: for Forbidden and NotFound the resource (`pods`), as apiserver has it."""

    name: str
    group: str
    kind: str


class StatusError(Exception):
    """An answer other than success; the application turns it into a Status."""

    def __init__(self, reason: Reason, message: str, details: StatusDetails | None = None) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.details = details


def status_response(error: StatusError) -> bytes:
    """The Status of an error with a reason, as a complete answer."""
    code = CODES[error.reason]
    details = {key: value for key, value in (error.details or {}).items() if value}
    return response(code, status_body(code, error.reason, str(error), details))


def internal_error_response() -> bytes:
    """The Status of a fault of ours, without detail."""
    return INTERNAL_ERROR


def json_response(body: object, code: int = 200, extra: Iterable[tuple[str, str]] = ()) -> bytes:
    """A complete answer in JSON as Go writes it: no spaces, UTF-8. extra: further headers."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return response(code, text.encode(), headers=extra)
