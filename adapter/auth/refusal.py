"""How a request is refused. The API layer turns each into a Status of the same reason."""

from collections.abc import Mapping


class Refused(Exception):
    """An answer other than passing on.

    reason: of the Status object, "" for none; code: the HTTP status. details: of the Status object, None for none.
    """

    code: int
    reason: str

    def __init__(self, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.details = details


class Unauthorized(Refused):
    """No credential, or none that is good."""

    code, reason = 401, "Unauthorized"


class Forbidden(Refused):
    """The user may not do this. details: name, group and kind of what was asked for, empty ones left out."""

    code, reason = 403, "Forbidden"


class ReviewFailed(Refused):
    """Whether the user may do this could not be found out.

    500 without a reason, as a Go API server answers when its authorizer fails (apiserver
    pkg/endpoints/filters/authorization.go, InternalError), but as a Status where Go writes plain text.
    """

    code, reason = 500, ""
