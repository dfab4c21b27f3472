"""Records every sync of a World's HPAs: what the controller saw, and what it decided.

    with contextmanager(start_world)(start_control_plane, flags=recorded(FLAGS)) as world:
        with SyncRecorder(world) as recorder:
            ...
            hpas = recorded_hpas(recorder.recording())

Four sources: kube-apiserver's audit log (scale, status, which metrics were asked for), a proxy in front of the metrics
APIs (the replies), a watch (pods), the controller's log (the metrics' proposal, before windows and limits).
"""

import base64
import contextlib
from typing import Self

from api_service import api_service_path, wait_served
from audit_log import AUDITED, read_audit_log
from control_plane import Flags
from decision_log import read_decision_log
from kube_api import Object
from pki import KeyPair
from pod_history import PodHistory
from recording_proxy import RecordingProxy, Reply
from scenario import World
from sync_join import Recording

from policies.hpa import ControllerOptions

OPTIONS = ControllerOptions(hpa_scale_to_zero=True)  # as scenario.FLAGS say
RESOURCE_METRICS = "v1beta1.metrics.k8s.io"
_RESOURCE_METRICS_HOST = "metrics-server.kube-system.svc"  # as resource_metrics.py has it


def recorded(flags: Flags) -> Flags:
    """The flags of a control plane whose HPA controller is recorded."""
    return {program: [*flags.get(program, ()), *AUDITED.get(program, ())] for program in {**flags, **AUDITED}}


class SyncRecorder:
    """From its start until close(). The scenarios must begin later."""

    def __init__(self, world: World) -> None:
        """world: of a control plane with recorded(FLAGS)."""
        self.world = world
        self._plane = world.plane
        self._stack = contextlib.ExitStack()
        self._pods = PodHistory(self._plane.admin)
        self._stack.callback(self._pods.close)
        of_resources = self._plane.certificates.ca.server("recorder", [_RESOURCE_METRICS_HOST])
        self._proxies = [
            self._stands_before(world.adapter.api_services, self._adapters_certificate()),
            self._stands_before([RESOURCE_METRICS], of_resources),
        ]

    def recording(self) -> Recording:
        """So far."""
        replies: dict[str, Reply] = {}
        for proxy in self._proxies:
            replies |= proxy.replies
        return Recording(
            options=OPTIONS,
            requests=read_audit_log(self._plane.folder / "kube-apiserver.log"),
            log=read_decision_log(self._plane.folder / "kube-controller-manager.log"),
            replies=replies,
            pods=self._pods.changes,
        )

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stands_before(self, api_services: list[str], serving: KeyPair) -> RecordingProxy:
        """Lead these APIServices, which all lead to one port, to a proxy before it."""
        spec: Object = self._plane.api.get(api_service_path(api_services[0]))["spec"]
        proxy = RecordingProxy(
            serving,
            spec["service"]["port"],
            client=self._plane.certificates.front_proxy,
            upstream_ca=base64.b64decode(spec["caBundle"]).decode(),
        )
        self._stack.callback(proxy.close)
        for name in api_services:
            self._plane.api.merge(api_service_path(name), {"spec": {"service": {"port": proxy.port}}})
            wait_served(self._plane.api, name)
        return proxy

    def _adapters_certificate(self) -> KeyPair:
        """The one that the adapter made for itself, which the API server expects."""
        adapter = self.world.adapter
        path = f"/api/v1/namespaces/{adapter.namespace}/secrets/leadtime-adapter-serving"
        data: Object = self._plane.api.get(path)["data"]
        pair = KeyPair(self._plane.folder / "adapter.crt", self._plane.folder / "adapter.key")
        for file, entry in ((pair.certificate, "tls.crt"), (pair.key, "tls.key")):
            file.touch(mode=0o600)
            file.write_bytes(base64.b64decode(data[entry]))
        return pair
