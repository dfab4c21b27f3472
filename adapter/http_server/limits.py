"""How much a client may take of the server."""

from pydantic import Field

from adapter.sources.section import Section


class HttpLimits(Section):
    """The section `http` of the configuration: what bounds the server's memory and patience."""

    max_connections: int = Field(default=2000, ge=10, le=100_000)
    """Connections open at a time, 10 to 100,000. The API server keeps a few; 2,000 leaves room for every other
    client, at 43 KB each while idle. Past it the one that is idle for longest is closed, so a new one is served."""
    max_handshakes: int = Field(default=256, ge=10, le=10_000)
    """TLS handshakes under way at a time, 10 to 10,000; past it the oldest is dropped. They are no
    connections yet, so maxConnections does not bound them."""
    tls_handshake_timeout_seconds: float = Field(default=10.0, ge=1.0, le=60.0)
    """Seconds for a TLS handshake, 1 to 60. A healthy one takes milliseconds; Go's client
    gives up after 10 s too (net/http, DefaultTransport)."""
    header_timeout_seconds: float = Field(default=10.0, ge=1.0, le=120.0)
    """Seconds from the first byte of a request to its last, 1 to 120. Requests are a few hundred bytes: whoever
    takes longer holds connections open on purpose (slow-loris)."""
    idle_timeout_seconds: float = Field(default=120.0, ge=5.0, le=3600.0)
    """Seconds that a connection may stay without a request, or with an answer that its client does not read, 5 to
    3600. Above the 90 s after which the aggregation layer closes its own idle connections, so it closes first
    and no request meets a closing connection (Go net/http DefaultTransport, IdleConnTimeout)."""
    max_header_bytes: int = Field(default=65_536, ge=4096, le=1_048_576)
    """Bytes of a request line with its headers, 4 KiB to 1 MiB, give or take one read (4 KiB); beyond it 431. 64
    KiB is a user in 1,000 groups of 45 characters each (`X-Remote-Group: ` and the line's end take 18 more)."""
    max_body_bytes: int = Field(default=1_048_576, ge=0, le=16_777_216)
    """Bytes of a request's body, 0 to 16 MiB; beyond it 413. No API here reads a body: it is discarded."""
