"""Who asks: the Authorization header of each request."""

import base64
import threading
from pathlib import Path
from typing import Any

import requests
from requests.auth import AuthBase

from adapter.sources.prometheus.settings import PrometheusSettings
from adapter.sources.source import SourceUnavailable

_SCOPE = "https://www.googleapis.com/auth/monitoring.read"


def credentials_of(settings: PrometheusSettings) -> AuthBase | None:
    """What the settings say; None where nobody in particular asks. Every file is read at each request."""
    if settings.google_auth:
        return GoogleToken()
    if settings.bearer_token_file is not None:
        return BearerToken(settings.bearer_token_file)
    if settings.password_file is not None:
        return BasicPassword(settings.username_file, settings.password_file)
    return None


class BearerToken(AuthBase):
    """The token in a file; raises SourceUnavailable where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {_secret('bearerTokenFile', self._path)}"
        return request


class BasicPassword(AuthBase):
    """User name and password in files; raises SourceUnavailable where one cannot be read."""

    def __init__(self, username_path: Path | None, password_path: Path) -> None:
        self._username_path = username_path
        self._password_path = password_path

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        username = "" if self._username_path is None else _secret("usernameFile", self._username_path)
        pair = f"{username}:{_secret('passwordFile', self._password_path)}"
        request.headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return request


class GoogleToken(AuthBase):
    """An access token of the application default credentials, renewed shortly before it expires.

    Called from several threads; one at a time renews it. credentials: for a test; else google.auth finds them.
    """

    def __init__(self, credentials: Any = None) -> None:
        self._credentials = credentials
        self._lock = threading.Lock()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token()}"
        return request

    def _token(self) -> str:
        import google.auth
        import google.auth.exceptions
        import google.auth.transport.requests

        with self._lock:
            try:
                if self._credentials is None:
                    self._credentials, _ = google.auth.default(scopes=[_SCOPE])
                if not self._credentials.valid:
                    self._credentials.refresh(google.auth.transport.requests.Request())
            except google.auth.exceptions.GoogleAuthError as error:
                raise SourceUnavailable(
                    "unauthorized",
                    f"googleAuth: no access token ({error}); run under Workload Identity, with the role "
                    "roles/monitoring.viewer, or set GOOGLE_APPLICATION_CREDENTIALS",
                ) from error
            return str(self._credentials.token)


def _secret(field: str, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceUnavailable(
            "unauthorized", f"{field}: {path} could not be read ({error}), must be a readable text file"
        ) from error
    if not text or not text.isprintable():
        raise SourceUnavailable(
            "unauthorized", f"{field}: {path} was empty or no single line, must be one line of text"
        )
    return text
