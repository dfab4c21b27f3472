"""vLLM servers of kwok's pods: each pod's own metrics page, at the pod's own loopback address.

kwok gives pods addresses of 127.64.0.0/16 and nobody listens there; one server here answers for all of them and tells
by the address that a connection came to which pod it is.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from kube_api import Object

IMAGE = "vllm/vllm-openai:v0.12.0"
PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="llama"}} {running}
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{engine="0",model_name="llama"}} {waiting}
"""


class ModelServers:
    """waiting: by pod address; 0 for every other pod. silent: addresses whose connections are dropped unanswered."""

    def __init__(self) -> None:
        self.waiting: dict[str, float] = {}
        self.silent: set[str] = set()
        servers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = self.connection.getsockname()[0]
                if address in servers.silent or not address.startswith("127."):
                    self.close_connection = True
                    return
                waiting = servers.waiting.get(address, 0)
                body = PAGE.format(waiting=waiting, running=8 if waiting else 0).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """A scrape is no news."""

        self._server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)  # noqa: S104 (only loopback is answered)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def deployment(self, namespace: str, name: str, replicas: int = 1) -> Object:
        """Pods whose image and port lead the adapter to these pages, as vLLM's own would."""
        labels = {"app": name}
        ports = [{"name": "http", "containerPort": self.port}]
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "vllm", "image": IMAGE, "ports": ports}]},
                },
            },
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
