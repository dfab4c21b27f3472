"""KEDA beside: its operator and its metrics server, and a ScaledObject for each workload."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from metrics_adapter.fleet import Fleet

NAMESPACE = "keda"
SERVER_NAME = "keda-operator.keda.svc.cluster.local"
"""The name under which the metrics server calls the operator."""


def module_folder(version: str, module_cache: Path) -> Path:
    """Where Go keeps the module's source: it has the CRDs."""
    return module_cache / "github.com" / "kedacore" / "keda" / f"v2@{version}"


def definitions(module: Path) -> list[dict[str, Any]]:
    """Its CustomResourceDefinitions."""
    files = sorted((module / "config" / "crd" / "bases").glob("*.yaml"))
    return [item for file in files for item in yaml.safe_load_all(file.read_text()) if item]


def is_served(definition: dict[str, Any]) -> bool:
    """Whether the API server takes objects of this CustomResourceDefinition by now."""
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def write_certificates(folder: Path) -> None:
    """What operator and metrics server show each other: one self-signed certificate, for either end (its own CA)."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keda")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    folder.mkdir()
    (folder / "ca.crt").write_bytes(certificate)
    (folder / "tls.crt").write_bytes(certificate)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "tls.key").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Files and ports of its two programs. certificates: what they show each other; serving: certificate and key that
    the metrics server shows the API server. metrics_ports: of the operator, of the server."""

    kubeconfig: Path
    certificates: Path
    serving: tuple[Path, Path]
    port: int
    grpc_port: int
    probe_port: int
    metrics_ports: tuple[int, int]


def operator_command(program: Path, layout: Layout) -> list[str]:
    return [
        "/usr/bin/env",
        "WATCH_NAMESPACE=",
        f"POD_NAMESPACE={NAMESPACE}",
        f"KEDA_CLUSTER_OBJECT_NAMESPACE={NAMESPACE}",
        str(program),
        f"--kubeconfig={layout.kubeconfig}",
        f"--cert-dir={layout.certificates}",
        "--enable-apiservice-patching=false",
        "--enable-webhook-patching=false",
        f"--metrics-bind-address=127.0.0.1:{layout.metrics_ports[0]}",
        f"--health-probe-bind-address=127.0.0.1:{layout.probe_port}",
        f"--metrics-service-bind-address=127.0.0.1:{layout.grpc_port}",
        "--zap-log-level=error",
    ]


def server_command(program: Path, layout: Layout) -> list[str]:
    """Of the metrics server, which it calls adapter."""
    return [
        "/usr/bin/env",
        "WATCH_NAMESPACE=",
        f"POD_NAMESPACE={NAMESPACE}",
        f"KUBECONFIG={layout.kubeconfig}",
        str(program),
        "--bind-address=127.0.0.1",
        f"--secure-port={layout.port}",
        f"--port={layout.metrics_ports[1]}",
        f"--cert-dir={layout.certificates}",
        f"--tls-cert-file={layout.serving[0]}",
        f"--tls-private-key-file={layout.serving[1]}",
        f"--lister-kubeconfig={layout.kubeconfig}",
        f"--metrics-service-address=localhost:{layout.grpc_port}",
        f"--metrics-service-grpc-authority={SERVER_NAME}",
        f"--authentication-kubeconfig={layout.kubeconfig}",
        f"--authorization-kubeconfig={layout.kubeconfig}",
    ]


def workload_objects(fleet: Fleet, workload: int, metric: str, prometheus: str) -> list[dict[str, Any]]:
    """A Deployment and the ScaledObject that scales it on the metric's sum over the workload's pods."""
    key, _, name = fleet.selector(workload).partition("=")
    template = {"metadata": {"labels": {key: name}}, "spec": {"containers": [{"name": "vllm", "image": "vllm"}]}}
    query = f'sum({metric}{{namespace="{fleet.namespace}",{key}="{name}"}})'
    trigger = {"type": "prometheus", "metadata": {"serverAddress": prometheus, "query": query, "threshold": "5"}}
    metadata = {"name": name, "namespace": fleet.namespace}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"replicas": 1, "selector": {"matchLabels": {key: name}}, "template": template},
        },
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": metadata,
            "spec": {"scaleTargetRef": {"name": name}, "minReplicaCount": 1, "triggers": [trigger]},
        },
    ]


def external_target(fleet: Fleet, workload: int) -> str:
    """As the HPA that KEDA makes asks."""
    name = fleet.selector(workload).partition("=")[2]
    where = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{fleet.namespace}/s0-prometheus"
    return f"{where}?labelSelector=scaledobject.keda.sh%2Fname%3D{name}"
