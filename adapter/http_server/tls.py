"""TLS for thousands of connections that are idle most of the time."""

import asyncio
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Sequence

_ALPN = ("http/1.1",)
RECEIVE_BYTES = 4096
"""Of what one TLS connection receives at a time: a request with its headers."""


class _FrugalTls(SSLProtocol):
    """asyncio's TLS with a receive buffer of 4 KiB instead of 256 KiB, which every connection holds on to.

    Resident memory of an idle connection, over 2,000 (CPython 3.11, Linux): 43 KB, and 300 KB with asyncio's own.
    """

    max_size = RECEIVE_BYTES


async def shake_hands(
    accepted: socket.socket,
    protocol: asyncio.BufferedProtocol,
    context: ssl.SSLContext,
    *,
    handshake_timeout_seconds: float,
    shutdown_timeout_seconds: float,
) -> None:
    """Serve TLS on an accepted socket; the protocol's connection_made is called when the handshake is complete.

    Raises OSError (ssl.SSLError is one, and so is a timeout) where it fails. This is what
    `loop.connect_accepted_socket(..., ssl=context)` does (asyncio/selector_events.py, _make_ssl_transport),
    which has no way to choose the buffer.
    """
    loop = asyncio.get_running_loop()
    complete: asyncio.Future[None] = loop.create_future()
    tls = _FrugalTls(
        loop,
        protocol,
        context,
        complete,
        server_side=True,
        ssl_handshake_timeout=handshake_timeout_seconds,  # type: ignore[arg-type]  # typeshed: int; it is any number
        ssl_shutdown_timeout=shutdown_timeout_seconds,
    )
    transport, _ = await loop.connect_accepted_socket(lambda: tls, accepted)
    try:
        await complete
    except BaseException:
        transport.abort()
        raise


def offer_http(context: ssl.SSLContext, current_context: Callable[[], ssl.SSLContext] | None = None) -> None:
    """Offer HTTP/1.1 by ALPN, and let each handshake use what current_context gives at that moment.

    The choice is made whether or not the client sends a server name (Python ssl, SSLContext.sni_callback).
    """
    context.set_alpn_protocols(list(_ALPN))
    if current_context is None:
        return

    def choose(tls: ssl.SSLSocket | ssl.SSLObject, _server_name: str | None, _context: ssl.SSLContext) -> None:
        chosen = current_context()
        if chosen is not tls.context:
            chosen.set_alpn_protocols(list(_ALPN))
            tls.context = chosen

    context.sni_callback = choose


def presented_intermediates(connection: ssl.SSLObject) -> Sequence[bytes]:
    """DER of the certificates that the client sent after its own; call it once a connection.

    Public since Python 3.13 (ssl.SSLObject.get_unverified_chain); before, the same method of the object beneath.
    """
    if hasattr(connection, "get_unverified_chain"):
        return tuple(connection.get_unverified_chain()[1:])
    chain = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
    return tuple(ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in (chain or ())[1:])
