"""A real Kubernetes control plane on the loopback, for tests and benchmarks: started in seconds, gone without a trace.

with ControlPlane.start(folder, controllers=True, scheduler=True, kwok=True) as plane:
    plane.api.apply(Path("manifests/adapter.yaml"))
    alice = plane.api_of("alice", groups=["team-a"])
"""

import base64
import re
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import yaml
from binaries import binaries
from child_processes import Processes, StartFailed, free_ports
from components import (
    KUBERNETES_SERVICE,
    api_server_flags,
    controller_manager_flags,
    etcd_flags,
    kwok_flags,
    scheduler_flags,
)
from kube_api import Api, Object
from pki import ClusterCertificates, KeyPair

START_TIMEOUT_SECONDS = 60.0
START_ATTEMPTS = 3  # when another program takes the port first
STAGES = Path(__file__).with_name("stages.yaml")

Flags = Mapping[str, Sequence[str]]
"""Flags to add by program, such as {"kube-apiserver": ["--feature-gates=HPAScaleToZero=true"]}; the last one wins."""


class ControlPlane:
    """etcd and kube-apiserver, and on request the controller manager, the scheduler and kwok.

    url: the API server's, https://127.0.0.1:PORT.
    admin, api: an administrator's kubeconfig and client.
    certificates: its authorities (pki.py), to sign an aggregated API's or a wrong client's certificate with.
    ports: by program. processes: what runs, with its logs.
    """

    def __init__(self, folder: Path, programs: Mapping[str, Path], flags: Flags) -> None:
        self.folder = folder.resolve()
        pki = self.folder / "pki"
        pki.mkdir(parents=True)
        self._kubeconfigs = 0
        self._programs = programs
        self._flags = flags
        self.ports: dict[str, int] = {}
        self.certificates = ClusterCertificates(
            pki, ["127.0.0.1", "localhost", "kubernetes.default.svc", KUBERNETES_SERVICE]
        )
        self.processes = Processes(self.folder)

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        controllers: bool = False,
        scheduler: bool = False,
        kwok: bool = False,
        stages: Sequence[Path] = (STAGES,),
        flags: Flags | None = None,
    ) -> Self:
        """Start one, and return when it answers.

        folder: a new or empty one, for certificates, kubeconfigs and logs; stays afterwards, without etcd's data.
        stages: files that tell kwok how nodes and pods live.
        Raises binaries.Unavailable, binaries.BuildFailed, child_processes.StartFailed.
        """
        wanted = {"kube-controller-manager": controllers, "kube-scheduler": scheduler, "kwok": kwok}
        programs = binaries("etcd", "kube-apiserver", *(name for name, used in wanted.items() if used))
        plane = cls(folder, programs, flags or {})
        try:
            plane._start_etcd()
            plane._start_api_server()
            if controllers:
                plane._start_controller_manager()
            if scheduler:
                plane._start_scheduler()
            if kwok:
                plane._start_kwok(stages)
        except BaseException:  # also Ctrl-C
            plane.stop()
            raise
        return plane

    def stop(self) -> None:
        """End every process and remove etcd's data. May be called again.

        They are killed: their data are thrown away, and an API server asked politely keeps its port for up to a minute.
        """
        self.processes.stop()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Users.

    def kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig of this user, by client certificate. Without a RoleBinding a user may do next to nothing."""
        stem = self._stem(user)
        pair = self.certificates.ca.client(user, groups, name=stem)
        credentials = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
        return self._write_kubeconfig(stem, credentials)

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """A kubeconfig of this ServiceAccount, by a token."""
        token = self.service_account_token(namespace, name)
        return self._write_kubeconfig(self._stem(f"{namespace}-{name}"), {"token": token})

    def service_account_token(
        self, namespace: str, name: str, *, audiences: Sequence[str] = (), expiration_seconds: int = 3600
    ) -> str:
        """A token of this ServiceAccount, which must exist. audiences: the API server's own when left out."""
        spec: dict[str, Any] = {"expirationSeconds": expiration_seconds, "audiences": list(audiences)}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        token: str = self.api.create(path, request)["status"]["token"]
        return token

    def api_of(self, user: str, groups: Sequence[str] = ()) -> Api:
        """A client that is this user."""
        return Api.from_kubeconfig(self.kubeconfig(user, groups))

    # The aggregation layer.

    def aggregated(self, group_version: str, service: str, port: int) -> list[Object]:
        """The Service and the APIService by which the API server finds an aggregated API on this machine.

        group_version: as in "external.metrics.k8s.io/v1beta1". service: NAMESPACE/NAME, of a namespace that exists.
        port: of the loopback, where it is served with a certificate of ca for NAME.NAMESPACE.svc. There is no pod
        network here, so the Service is of type ExternalName and leads to localhost.
        """
        namespace, name = service.split("/")
        group, version = group_version.split("/")
        spec = {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"namespace": namespace, "name": name, "port": port},
            "caBundle": base64.b64encode(self.certificates.ca.certificate.read_bytes()).decode(),
        }
        return [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": f"{version}.{group}"},
                "spec": spec,
            },
        ]

    # The programs.

    def _start_etcd(self) -> None:
        data, client = self.folder / "etcd", self.certificates.etcd_client

        def flags(port: int) -> list[str]:
            shutil.rmtree(data, ignore_errors=True)  # of an attempt on another port
            return etcd_flags(self.certificates, data, port, free_ports(1)[0])

        self._run("etcd", flags, lambda port: self._answers(port, "/health", client))

    def _start_api_server(self) -> None:
        probe = self.certificates.ca.client("probe", ["system:masters"])
        self._run(
            "kube-apiserver",
            lambda port: api_server_flags(self.certificates, port, self.ports["etcd"]),
            # 200, not the word "ok": the hook that writes the bootstrap roles is the last to finish.
            lambda port: self._answers(port, "/readyz", probe),
        )
        self.url = f"https://127.0.0.1:{self.ports['kube-apiserver']}"
        self.admin = self.kubeconfig("admin", ["system:masters"])
        self.api = Api.from_kubeconfig(self.admin)

    def _start_controller_manager(self) -> None:
        config = self.kubeconfig("system:kube-controller-manager")
        self._run(
            "kube-controller-manager",
            lambda port: controller_manager_flags(self.certificates, port, config),
            lambda port: self._answers(port, "/healthz"),
        )

    def _start_scheduler(self) -> None:
        config = self.kubeconfig("system:kube-scheduler")
        self._run(
            "kube-scheduler",
            lambda port: scheduler_flags(self.certificates, port, config),
            lambda port: self._answers(port, "/healthz"),
        )

    def _start_kwok(self, stages: Sequence[Path]) -> None:
        config = self.kubeconfig("kwok", ["system:masters"])
        self._run(
            "kwok",
            lambda port: kwok_flags(port, config, stages),
            lambda port: self._answers(port, "/healthz", scheme="http"),
        )

    def _run(self, name: str, flags: Callable[[int], Sequence[str]], ready: Callable[[int], bool]) -> None:
        """Start a program on a free port and wait until it is ready; on another port if that one was just taken."""
        for attempt in range(1, START_ATTEMPTS + 1):
            port = free_ports(1)[0]
            process = self.processes.start(name, [self._programs[name], *flags(port), *self._flags.get(name, ())])
            try:
                self.processes.wait_until(process, partial(ready, port), timeout_seconds=START_TIMEOUT_SECONDS)
            except StartFailed:
                if attempt == START_ATTEMPTS or b"address already in use" not in process.log.read_bytes():
                    raise
                self.processes.kill(process)
            else:
                self.ports[name] = port
                return

    def _answers(self, port: int, path: str, client: KeyPair | None = None, scheme: str = "https") -> bool:
        """Whether it replies 200, within a second, as a server of this cluster."""
        context = ssl.create_default_context(cafile=str(self.certificates.ca.certificate))
        if client:
            context.load_cert_chain(client.certificate, client.key)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(f"{scheme}://127.0.0.1:{port}{path}", timeout=1.0) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    # Files.

    def _stem(self, user: str) -> str:
        """A file name for this user's files; never the same twice."""
        self._kubeconfigs += 1
        return f"{re.sub('[^A-Za-z0-9]+', '-', user)}-{self._kubeconfigs}"

    def _write_kubeconfig(self, stem: str, credentials: Mapping[str, str]) -> Path:
        cluster = {"server": self.url, "certificate-authority": str(self.certificates.ca.certificate)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "e2e", "cluster": cluster}],
            "users": [{"name": "user", "user": dict(credentials)}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "user"}}],
            "current-context": "e2e",
        }
        path = self.folder / f"{stem}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path
