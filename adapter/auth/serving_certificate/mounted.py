"""A serving certificate in files that somebody else renews: cert-manager, or a Secret of the operator's own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from adapter.auth.serving_certificate.key_pair import NS_PER_SECOND, BadKeyPair, KeyPair, parse_key_pair
from adapter.clock import Clock
from adapter.errors import BadInput

_log = logging.getLogger(__name__)


class MountedCertificate:
    """The pair in two files, read anew as they change; a bad or half-written pair leaves the last good one in place.

    current: the pair to serve. fault: what is wrong with the files, "" if nothing is.
    """

    def __init__(
        self, cert_file: Path, key_file: Path, *, clock: Clock, on_change: Callable[[KeyPair], None] = lambda _: None
    ) -> None:
        """on_change: called with every new pair. Raises BadInput where there is no good pair to begin with."""
        self._files = (cert_file, key_file)
        self._clock = clock
        self._on_change = on_change
        self.fault = ""
        try:
            self.current = self._read()
        except (OSError, BadKeyPair) as error:
            raise BadInput(self._told(error)) from error
        self._look_at_dates()

    def refresh(self) -> None:
        """Look at the files once."""
        try:
            pair = self._read()
        except (OSError, BadKeyPair) as error:
            self._report(f"{self._told(error)} (the last good pair stays in use)")
            return
        if pair != self.current:
            self.current = pair
            _log.info("serving certificate: new pair in %s", self._files[0])
            self._on_change(pair)
        self._look_at_dates()

    async def run(self, interval_seconds: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look at the files again and again, until cancelled."""
        while True:
            await sleep(interval_seconds)
            self.refresh()

    def _read(self) -> KeyPair:
        certificate, key = (path.read_bytes() for path in self._files)
        return parse_key_pair(certificate, key)

    def _told(self, error: OSError | BadKeyPair) -> str:
        cert_file, key_file = map(str, self._files)
        if isinstance(error, OSError):
            field = "keyFile" if error.filename == key_file else "certFile"
            return f"{field}: was {error.filename!r}, must be a readable file ({error.strerror}); correct the path"
        return f"certFile, keyFile: were {cert_file!r}, {key_file!r}; {error}"

    def _look_at_dates(self) -> None:
        ended = self._clock.now_ns() > self.current.not_after_ns
        at = datetime.fromtimestamp(self.current.not_after_ns // NS_PER_SECOND, UTC)
        self._report(f"certFile: {str(self._files[0])!r} ended at {at:%Y-%m-%dT%H:%M:%SZ}; renew it" if ended else "")

    def _report(self, fault: str) -> None:
        if fault and fault != self.fault:
            _log.error("serving certificate: %s", fault)
        self.fault = fault
