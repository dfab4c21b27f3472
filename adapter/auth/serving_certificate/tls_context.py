"""The TLS of the listener: one context that stays, and beneath it one that is replaced.

`load_verify_locations` on a live context only adds authorities, and a context cannot forget them; so every change
builds a fresh one, which the outer context's `sni_callback` puts under each new connection. OpenSSL calls it for
clients without a server name too.
"""

import logging
import os
import ssl
import tempfile
from pathlib import Path

from adapter.auth.serving_certificate.key_pair import KeyPair

_log = logging.getLogger(__name__)


class ServingTls:
    """TLS 1.3 with client certificates asked for but not required: probes come without.

    A certificate that none of the authorities vouches for fails the handshake. No session tickets: a resumed session
    would outlive its authority. Until the first `serve`, handshakes fail.

    context: for the listener, for as long as it lives. fault: why the last `serve` had no effect, "" if it had.
    """

    def __init__(self) -> None:
        self.context = _fresh_context()
        self.context.sni_callback = self._choose
        self._inner: ssl.SSLContext | None = None
        self._served: tuple[KeyPair, str] | None = None
        self.fault = ""

    def serve(self, pair: KeyPair, client_authorities_pem: str) -> None:
        """Show this certificate to new connections, and let in the clients that these authorities vouch for.

        client_authorities_pem: PEM certificates, "" for none. Connections that are open keep what they began with;
        who they are is judged at each of their requests. What OpenSSL refuses leaves everything as it was, and is
        told by `fault`.
        """
        wanted = (pair, client_authorities_pem)
        if self._served == wanted and not self.fault:
            return
        inner, what = _fresh_context(), "certificate and key"
        try:
            _load_pair(inner, pair)
            what = "authorities of client certificates"
            if client_authorities_pem:
                inner.load_verify_locations(cadata=client_authorities_pem)
        except ssl.SSLError as error:
            self.fault = f"{what}: OpenSSL refuses them ({error.reason}); issue others (the last good ones stay in use)"
            _log.error("%s", self.fault)
            return
        self._inner, self._served, self.fault = inner, wanted, ""

    def _choose(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> int | None:
        if self._inner is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._inner
        return None


def _fresh_context() -> ssl.SSLContext:
    """Everything but the certificates; on the outer context too, for OpenSSL takes some settings from there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # any certificate of the bundle ends a chain, as in Go
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """`load_cert_chain` takes files only: one in memory where the system has such, else a private temporary one."""
    text = pair.certificate_pem.rstrip() + b"\n" + pair.key_pem
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("serving-certificate", os.MFD_CLOEXEC)
        path = Path(f"/proc/self/fd/{descriptor}")
    else:
        descriptor, name = tempfile.mkstemp()
        path = Path(name)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123
            file.write(text)
            file.flush()
            context.load_cert_chain(path, password=lambda: "")  # or it would ask on the terminal
    finally:
        if not hasattr(os, "memfd_create"):
            path.unlink()
