"""Stands between kube-apiserver and an aggregated API, and keeps every reply.

kube-apiserver's audit log leaves out the bodies of aggregated requests; it passes its audit ID on, though
(k8s.io/apiserver pkg/util/proxy/proxy.go, NewRequestForProxy), so each reply here belongs to one request there.
"""

import gzip
import http.client
import json
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from pki import KeyPair

TIMEOUT_SECONDS = 40.0  # longer than anything behind it waits
_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the aggregated API answered. body: parsed JSON, None where it is none."""

    status: int
    body: Any


class RecordingProxy:
    """Serves GET on a port of 127.0.0.1, by the same certificate as the API behind it, until close().

    replies: by audit ID.
    """

    def __init__(self, serving: KeyPair, upstream_port: int, *, client: KeyPair, upstream_ca: str) -> None:
        """client: the front proxy's certificate, since the API behind believes X-Remote-User of nobody else.

        upstream_ca: PEM of the CAs that sign the certificate of the API behind.
        """
        self.replies: dict[str, Reply] = {}
        self._upstream_port = upstream_port
        self._upstream_tls = ssl.create_default_context(cadata=upstream_ca)
        self._upstream_tls.check_hostname = False  # its name is that of a Service, not of the loopback
        self._upstream_tls.load_cert_chain(client.certificate, client.key)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            upstream: http.client.HTTPSConnection | None = None

            def do_GET(self) -> None:
                status, headers, body = self.ask()
                if "/namespaces/" in self.path:  # discovery and OpenAPI documents are nobody's observation
                    proxy.keep(self.headers.get("Audit-ID", ""), status, headers, body)
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in _OF_ONE_CONNECTION:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def ask(self) -> tuple[int, http.client.HTTPMessage, bytes]:
                """The API's answer, on the connection of this connection; on a new one if that was closed meanwhile."""
                fresh = self.upstream is None
                self.upstream = self.upstream or proxy.connect()
                sent = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_CONNECTION}
                try:
                    self.upstream.request("GET", self.path, headers=sent)
                    reply = self.upstream.getresponse()
                    return reply.status, reply.headers, reply.read()
                except (http.client.HTTPException, OSError):
                    self.upstream.close()
                    self.upstream = None
                    if fresh:
                        raise
                    return self.ask()

            def finish(self) -> None:
                super().finish()
                if self.upstream:
                    self.upstream.close()

            def log_message(self, *_: Any) -> None:
                """A request is no news."""

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(serving.certificate, serving.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "127.0.0.1", self._upstream_port, context=self._upstream_tls, timeout=TIMEOUT_SECONDS
        )

    def keep(self, audit_id: str, status: int, headers: http.client.HTTPMessage, body: bytes) -> None:
        plain = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        is_json = "json" in headers.get("Content-Type", "")
        self.replies[audit_id] = Reply(status, json.loads(plain) if is_json else None)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A connection that broke is closed: the API server sees that, and says so."""
