"""The command lines of a control plane's programs, without the program itself: pure functions of files and ports.

Flags: https://kubernetes.io/docs/reference/command-line-tools-reference/ and, for the request headers of the
aggregation layer, https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/.
"""

from collections.abc import Sequence
from pathlib import Path

from pki import ClusterCertificates

SERVICE_RANGE = "10.0.0.0/16"
KUBERNETES_SERVICE = "10.0.0.1"  # the first address of SERVICE_RANGE, by Kubernetes' rule
POD_RANGE = "127.64.0.1/16"  # pods of kwok: loopback addresses, so that a process here can answer for each of them
NODE_ADDRESS = "127.63.0.1"

CONTROLLERS = (  # those that autoscaling needs: each of the others costs start-up time and memory
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "horizontal-pod-autoscaler-controller",
    "endpointslice-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "garbage-collector-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "clusterrole-aggregation-controller",  # fills the ClusterRoles view, edit and admin
)


def etcd_flags(certificates: ClusterCertificates, data: Path, port: int, peer_port: int) -> list[str]:
    """A cluster of one. Only certificates of this test cluster are served, so that no other takes it for its own."""
    url, peers = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        f"--data-dir={data}",
        "--unsafe-no-fsync",  # the data need not outlive a crash
        "--log-level=warn",
        "--enable-grpc-gateway=false",  # it would call etcd with the serving certificate, in vain
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peers}",  # it insists on one; there are no peers
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--client-cert-auth",
        f"--trusted-ca-file={certificates.ca.certificate}",
        f"--cert-file={certificates.serving.certificate}",
        f"--key-file={certificates.serving.key}",
    ]


def api_server_flags(certificates: ClusterCertificates, port: int, etcd_port: int) -> list[str]:
    """kube-apiserver with RBAC, the aggregation layer and ServiceAccount tokens."""
    return [
        f"--etcd-servers=https://127.0.0.1:{etcd_port}",
        f"--etcd-cafile={certificates.ca.certificate}",
        f"--etcd-certfile={certificates.etcd_client.certificate}",
        f"--etcd-keyfile={certificates.etcd_client.key}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--advertise-address={KUBERNETES_SERVICE}",  # it refuses a loopback address
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        *_serving_flags(certificates),
        f"--client-ca-file={certificates.ca.certificate}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",  # a pod needs no ServiceAccount and gets no token volume
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={certificates.tokens.certificate}",
        f"--service-account-signing-key-file={certificates.tokens.key}",
        f"--requestheader-client-ca-file={certificates.requestheader_ca.certificate}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={certificates.front_proxy.certificate}",
        f"--proxy-client-key-file={certificates.front_proxy.key}",
    ]


def controller_manager_flags(certificates: ClusterCertificates, port: int, kubeconfig: Path) -> list[str]:
    """kube-controller-manager, /metrics open to all on the loopback."""
    return [
        *_client_flags(certificates, port, kubeconfig),
        f"--controllers={','.join(CONTROLLERS)}",
        "--use-service-account-credentials",  # the bootstrap roles are bound to one ServiceAccount per controller
        f"--service-account-private-key-file={certificates.tokens.key}",
        "--horizontal-pod-autoscaler-sync-period=5s",  # 15 s by default: a test need not wait so long
    ]


def scheduler_flags(certificates: ClusterCertificates, port: int, kubeconfig: Path) -> list[str]:
    """kube-scheduler, /metrics open to all on the loopback."""
    return _client_flags(certificates, port, kubeconfig)


def kwok_flags(port: int, kubeconfig: Path, stages: Sequence[Path]) -> list[str]:
    """kwok for every Node object that there is."""
    return [
        f"--kubeconfig={kubeconfig}",
        *(f"--config={file.resolve()}" for file in stages),
        "--manage-all-nodes=true",
        f"--cidr={POD_RANGE}",
        f"--node-ip={NODE_ADDRESS}",
        "--node-lease-duration-seconds=40",  # renewed, or the node and all its pods are not Ready after 50 s
        f"--server-address=127.0.0.1:{port}",
    ]


def _client_flags(certificates: ClusterCertificates, port: int, kubeconfig: Path) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        *_serving_flags(certificates),
        "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics",
    ]


def _serving_flags(certificates: ClusterCertificates) -> list[str]:
    return [
        f"--tls-cert-file={certificates.serving.certificate}",
        f"--tls-private-key-file={certificates.serving.key}",
    ]
