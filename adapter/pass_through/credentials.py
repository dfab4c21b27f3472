"""What proves who we are to the other server: read from files, and again when they change."""

import logging
import ssl
from pathlib import Path

from adapter.errors import BadInput
from adapter.pass_through.settings import PassThroughSettings

logger = logging.getLogger(__name__)
_REREAD_SECONDS = 60.0  # a mounted token is renewed long before it expires: at 80 % of its life, by the kubelet


class Credentials:
    """The TLS context and, in mode serviceAccount, the token. Raises BadInput where a file cannot be used.

    Later, a file that cannot be used is logged, and what was read before stays.
    """

    def __init__(self, settings: PassThroughSettings, now: float) -> None:
        """now: seconds on a clock that never goes back."""
        self._settings = settings
        self._read_at = now
        self._seen = self._files()
        self.context, self.token = self._load()

    def due(self, now: float) -> bool:
        """Whether a minute has passed since the files were read."""
        return now - self._read_at >= _REREAD_SECONDS

    def refresh(self, now: float) -> None:
        """Read the files again. It blocks for as long as small files take."""
        self._read_at = now
        try:
            seen = self._files()
            if seen != self._seen:
                self.context, self.token = self._load()
                self._seen = seen
        except BadInput as error:
            logger.error("%s; keeping what was read before", error)  # noqa: TRY400

    def _files(self) -> dict[str, bytes]:
        settings = self._settings
        files: dict[str, Path | None] = {"caFile": settings.ca_file}
        if settings.mode == "serviceAccount":
            files["bearerTokenFile"] = settings.bearer_token_file
        else:
            files |= {"clientCertFile": settings.client_cert_file, "clientKeyFile": settings.client_key_file}
        return {field: _read(field, path) for field, path in files.items() if path is not None}

    def _load(self) -> tuple[ssl.SSLContext, str | None]:
        settings = self._settings
        try:
            context = ssl.create_default_context(cafile=settings.ca_file)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise BadInput(
                f"passThrough.caFile: was {str(settings.ca_file)!r}, must hold PEM certificates; correct the file"
            ) from error
        if settings.mode == "requestHeader":
            assert settings.client_cert_file is not None
            try:
                context.load_cert_chain(settings.client_cert_file, settings.client_key_file, password=lambda: "")
            except (ssl.SSLError, OSError) as error:
                raise BadInput(
                    f"passThrough.clientCertFile, passThrough.clientKeyFile: were {str(settings.client_cert_file)!r}, "
                    f"{str(settings.client_key_file)!r}, must be a PEM certificate and its key; correct the files"
                ) from error
            return context, None
        token = _read("bearerTokenFile", settings.bearer_token_file).decode("latin-1").strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise BadInput(
                f"passThrough.bearerTokenFile: was {str(settings.bearer_token_file)!r}, must hold one token and "
                "nothing else; correct the file"
            )
        return context, token


def _read(field: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"passThrough.{field}: was {str(path)!r}, must be a readable file ({error.strerror}); correct the path"
        ) from error
