"""metrics.k8s.io as metrics-server serves it, of values that a test tells: for HPAs on CPU.

kwok's pods use no CPU, so there is nothing to measure. Types: kubernetes/metrics pkg/apis/metrics/v1beta1/types.go.
"""

import json
import ssl
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from control_plane import ControlPlane
from exporter_script import ScriptedLoad, Told
from kube_api import Object
from pod_view import APP_LABEL, PodView

GROUP_VERSION = "metrics.k8s.io/v1beta1"
WINDOW = "1s"  # 15 s or more in life. The HPA ignores a new pod's CPU until a window has passed since it became Ready.

_RESOURCE = {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]}


class ResourceMetrics:
    """Serves it to the API server, by an APIService, from a thread until close()."""

    def __init__(self, plane: ControlPlane) -> None:
        self._api = plane.api
        self._told: dict[tuple[str, str], Told] = {}
        metrics = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                found = metrics.answer(self.path)
                body = json.dumps(found or {"kind": "Status", "apiVersion": "v1", "status": "Failure"}).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """A request is no news."""

        pair = plane.certificates.ca.server("metrics-server", ["metrics-server.kube-system.svc"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        plane.api.apply(plane.aggregated(GROUP_VERSION, "kube-system/metrics-server", self._server.server_address[1]))

    def show(self, namespace: str, app: str, milli_per_pod: Told) -> None:
        """What the workload's pods use, thousandths of a CPU; told as a series of exporter_script.py."""
        self._told[namespace, app] = milli_per_pod

    def answer(self, path: str) -> Object | None:
        """The reply to a GET; None for what is not here."""
        url = urlsplit(path)
        match url.path.strip("/").split("/"):
            case ["apis", "metrics.k8s.io", "v1beta1"]:
                return {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": GROUP_VERSION,
                    "resources": [_RESOURCE],
                }
            case ["apis", "metrics.k8s.io", "v1beta1", "namespaces", namespace, "pods"]:
                selector = parse_qs(url.query).get("labelSelector", [""])[0]
                return self._pods(namespace, selector)
        return None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pods(self, namespace: str, selector: str) -> Object:
        items = []
        for app, told in [(app, told) for (where, app), told in self._told.items() if where == namespace]:
            if selector not in ("", f"{APP_LABEL}={app}"):
                continue
            listed = self._api.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector={APP_LABEL}%3D{app}")
            pods = sorted((PodView.of(pod) for pod in listed["items"]), key=lambda pod: pod.age_order)
            load = ScriptedLoad()
            load.tell({"cpu": told})
            load.follow(pods, 0.0)
            items += [_usage(pod, load.series(pod)["cpu"]) for pod in pods if pod.stage == "Ready"]
        return {"kind": "PodMetricsList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": items}


def _usage(pod: PodView, milli: float) -> Object:
    return {
        "metadata": {"name": pod.name, "namespace": pod.namespace, "labels": {APP_LABEL: pod.app}},
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "window": WINDOW,
        "containers": [{"name": pod.container, "usage": {"cpu": f"{round(milli)}m", "memory": "1Gi"}}],
    }
