"""No right of the adapter's ServiceAccount is there in vain: without any of them something fails, and says so."""

import base64
import copy
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import urllib3
from adapter_in_cluster import Adapter
from adapter_manifests import BASE, as_base, built, one
from api_service import api_service_path
from control_plane import ControlPlane
from kube_api import Api, Object
from pod_process import PodProcess

pytestmark = pytest.mark.e2e

RBAC = "rbac.authorization.k8s.io"
METRIC = "vllm:num_requests_waiting"
SECRETS = "/api/v1/namespaces/leadtime-system/secrets"
SECRET = "leadtime-adapter-serving"  # noqa: S105
ROLES = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")


@dataclass(frozen=True, slots=True)
class Right:
    """A verb on a resource, as one of the adapter's roles gives it."""

    kind: str
    role: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"

    def taken_from(self, objects: list[Object]) -> list[Object]:
        """The objects without it. A rule that has more of it keeps the rest."""
        left = copy.deepcopy(objects)
        role = one(left, self.kind, self.role)
        rules = role["rules"]
        for rule in [rule for rule in rules if self.resource in rule["resources"] and self.verb in rule["verbs"]]:
            rules.append({**rule, "resources": [self.resource], "verbs": [v for v in rule["verbs"] if v != self.verb]})
            rule["resources"] = [name for name in rule["resources"] if name != self.resource]
        role["rules"] = [rule for rule in rules if rule["resources"] and rule["verbs"]]
        assert left != objects
        return left


def rights(objects: list[Object]) -> list[Right]:
    """Every one that the manifests give, but for the role that they offer to those who scrape the adapter."""
    return [
        Right(item["kind"], item["metadata"]["name"], resource, verb)
        for item in objects
        if item["kind"] in ("Role", "ClusterRole")
        for rule in item["rules"]
        if "nonResourceURLs" not in rule
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return built(BASE)


@pytest.fixture(scope="module")
def plane(start_control_plane: Callable[..., ControlPlane]) -> Iterator[ControlPlane]:
    """One of its own, with the monitors' definitions: without them there is nothing to watch."""
    with start_control_plane() as plane:
        for group, kind, scope in (
            ("monitoring.googleapis.com", "PodMonitoring", "Namespaced"),
            ("monitoring.googleapis.com", "ClusterPodMonitoring", "Cluster"),
            ("monitoring.coreos.com", "PodMonitor", "Namespaced"),
            ("monitoring.coreos.com", "ServiceMonitor", "Namespaced"),
        ):
            definition = plane.api.apply(monitor_definition(group, kind, scope))[0]
            plane.api.wait(f"/apis/{group}/v1/{definition['spec']['names']['plural']}", lambda found: "items" in found)
        yield plane


def monitor_definition(group: str, kind: str, scope: str) -> Object:
    plural = f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural},
            "scope": scope,
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def install_afresh(plane: ControlPlane, objects: list[Object]) -> Adapter:
    """With the rights that these objects give and no others, and without a certificate of an installation before."""
    for item in built(BASE):
        if item["kind"] in (*ROLES, "APIService"):
            plane.api.send("DELETE", plane.api.path_of(item))
    plane.api.send("DELETE", f"{SECRETS}/{SECRET}")
    return Adapter.install(plane, as_base(objects, plane.folder / "changed-manifests"))


RIGHTS = [
    *(
        Right("ClusterRole", "leadtime-adapter", resource, verb)
        for resource in (
            "pods",
            "services",
            "podmonitorings",
            "clusterpodmonitorings",
            "podmonitors",
            "servicemonitors",
        )
        for verb in ("list", "watch")
    ),
    *(Right("Role", "leadtime-adapter-serving-certificate", "secrets", verb) for verb in ("create", "get", "update")),
    *(Right("ClusterRole", "leadtime-adapter-ca-bundle", "apiservices", verb) for verb in ("get", "patch")),
]


def test_these_are_all_the_rights_of_its_roles(objects: list[Object]) -> None:
    """Beside them it has two of Kubernetes' own roles, below."""
    assert sorted(map(repr, rights(objects))) == sorted(map(repr, RIGHTS))


@pytest.mark.parametrize("right", RIGHTS, ids=str)
def test_without_a_right_the_log_names_it(plane: ControlPlane, objects: list[Object], right: Right) -> None:
    with install_afresh(plane, right.taken_from(objects)) as adapter:
        if str(right) == "update secrets":  # which it may otherwise have made itself
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}}
            plane.api.create(SECRETS, secret)
        adapter.start_replica().wait_logged(f'cannot {right.verb} resource "{right.resource}" in API group')


def test_without_the_role_that_reads_the_front_proxys_ca_it_does_not_get_ready(
    plane: ControlPlane, objects: list[Object]
) -> None:
    """It could not tell the API server from a stranger."""
    name = "leadtime-adapter-authentication-reader"
    with install_afresh(plane, [item for item in objects if item["metadata"]["name"] != name]) as adapter:
        replica = adapter.start_replica()
        replica.wait_logged('configmaps "extension-apiserver-authentication" is forbidden')
        replica.wait_probed("whose certificates to believe is not known yet: 403 Forbidden")
        assert not replica.prober.ready


def test_without_reviews_nobody_but_the_clusters_masters_is_served(plane: ControlPlane, objects: list[Object]) -> None:
    """Not alice by the API server, who has the right, nor Prometheus by its token: who cannot be judged is refused."""
    name = "leadtime-adapter:system:auth-delegator"
    with install_afresh(plane, [item for item in objects if item["metadata"]["name"] != name]) as adapter:
        replica = adapter.start_replica()
        replica.wait_ready()
        adapter.wait_available()  # its own calls are those of a master
        plane.api.apply(metrics_reader("alice"))
        path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/default/{METRIC}"
        message = refusal(plane.api_of("alice"), path, 500)
        assert 'cannot create resource "subjectaccessreviews"' in message
        assert "bind the adapter's service account to ClusterRole system:auth-delegator" in message
        token = plane.service_account_token("leadtime-system", "leadtime-adapter")
        reply = directly(adapter, replica).request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        assert reply.status == 401
        assert reply.json()["message"] == "Unauthorized: the token could not be reviewed, try again later"
        replica.wait_logged('cannot create resource "tokenreviews"')


def refusal(api: Api, path: str, status: int) -> str:
    """The message of this status: the API server itself says 403 or 503 for a moment, until it has seen the changes."""
    for _ in range(100):
        reply = api.send("GET", path)
        if reply.status == status:
            return str(reply.json()["message"])
        time.sleep(0.1)
    raise TimeoutError(f"{path}: {reply.status} {reply.body!r}, never {status}")


def metrics_reader(user: str) -> list[Object]:
    """This user may read every External metric."""
    named = {"apiVersion": f"{RBAC}/v1", "metadata": {"name": f"{user}-reads-metrics"}}
    rules = [{"apiGroups": ["external.metrics.k8s.io"], "resources": ["*"], "verbs": ["list"]}]
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": f"{user}-reads-metrics"}
    subjects = [{"apiGroup": RBAC, "kind": "User", "name": user}]
    binding = {"kind": "ClusterRoleBinding", "roleRef": reference, "subjects": subjects}
    return [named | {"kind": "ClusterRole", "rules": rules}, named | binding]


def directly(adapter: Adapter, replica: PodProcess) -> urllib3.HTTPSConnectionPool:
    """Past the API server, with the certificate verified as it verifies it."""
    spec = adapter.plane.api.get(api_service_path(adapter.api_services[0]))["spec"]
    name = f"{spec['service']['name']}.{spec['service']['namespace']}.svc"
    authority = base64.b64decode(spec["caBundle"]).decode()
    context = ssl.create_default_context(cadata=authority)
    return urllib3.HTTPSConnectionPool(
        "127.0.0.1", replica.port, ssl_context=context, server_hostname=name, assert_hostname=name
    )
