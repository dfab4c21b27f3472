"""The adapter in a cluster: who may ask what, whose certificates count, and pods that come and go."""

import asyncio
import gc
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from adapter_cluster import (
    CONFIG_MAPS,
    HPA_CONTROLLER,
    OTHER_CA,
    PROXY,
    PROXY_CA,
    Cluster,
    cluster_configuration,
    eventually,
    in_cluster,
    until_known,
)
from adapter_world import CLIENT_CA, EXTERNAL, HPA, PODS, WAITING, Adapter, client, page, resident_bytes, running
from fake_kube_api import pod, serving
from made_certificates import Made, make

MEGABYTE = 1024 * 1024
POD_LIST = "/api/v1/pods"
HANDSHAKES_FAILED = 'leadtime_adapter_connection_events_total{event="handshake_failed"}'
MASTERS = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}


def scraped(adapter: Adapter, name: str, *, namespace: str = "llm", **changes: Any) -> dict[str, Any]:
    """A pod whose page the adapter's Pages serve."""
    annotations = {"scrape": "true", "port": str(adapter.pages.port), "path": f"/{name}"}
    named = {f"prometheus.io/{key}": value for key, value in annotations.items()}
    ports = [{"containerPort": adapter.pages.port, "name": "http", "protocol": "TCP"}]
    return pod(name, namespace=namespace, ip="127.0.0.1", annotations=named, ports=ports, **changes)


async def start(adapter: Adapter, cluster: Cluster, name: str, value: float, **changes: Any) -> None:
    """A pod with so many requests waiting; the adapter knows it soon."""
    adapter.pages.show(f"/{name}", f"{WAITING} {value}\n")
    await cluster.put(POD_LIST, scraped(adapter, name, **changes))


async def serves_nothing(adapter: Adapter) -> bool:
    return (await adapter.get(f"{PODS}/*/{WAITING}"))[0] == 404


async def knows_pods(adapter: Adapter, count: int) -> bool:
    return (await adapter.own_metrics())["leadtime_adapter_pods"] == count


# Callers.


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        pytest.param(PROXY, 200, id="front-proxy"),
        pytest.param(None, 401, id="forged-headers-without-a-certificate"),
        pytest.param(HPA, 403, id="forged-headers-with-a-users-certificate"),
        pytest.param(make("front-proxy-client", CLIENT_CA), 403, id="the-proxys-name-under-the-users-ca"),
        pytest.param(make("another-proxy", PROXY_CA), 401, id="the-proxys-ca-and-a-name-that-is-not-allowed"),
    ],
)
async def test_only_the_front_proxy_says_who_asks(tmp_path: Path, shown: Made | None, code: int) -> None:
    """Everybody says to be the HPA's controller."""
    async with in_cluster(tmp_path) as (adapter, cluster):
        await start(adapter, cluster, "vllm-0", 3)
        await eventually(lambda: knows_pods(adapter, 1))
        await adapter.collect()
        async with client(tmp_path, shown) as someone:
            for path in (f"{PODS}/*/{WAITING}", f"{EXTERNAL}/{WAITING}"):
                status, text = await adapter.get(path, someone, **HPA_CONTROLLER)
                assert status == code, text
                assert ('"value":"3000m"' in text) is (code == 200)
                assert code == 200 or json.loads(text)["reason"] == {401: "Unauthorized", 403: "Forbidden"}[code]
            assert (await adapter.get("/healthz", someone))[0] == 200


async def test_a_certificate_that_no_authority_vouches_for_ends_the_handshake(tmp_path: Path) -> None:
    async with in_cluster(tmp_path) as (adapter, _):
        assert (await adapter.own_metrics())[HANDSHAKES_FAILED] == 0
        async with client(tmp_path, make("front-proxy-client", OTHER_CA)) as forger:
            with pytest.raises(aiohttp.ClientError):
                await adapter.get("/healthz", forger)
        assert (await adapter.get("/livez"))[0] == 200
        assert (await adapter.own_metrics())[HANDSHAKES_FAILED] > 0


async def test_the_front_proxy_is_let_in_once_the_adapter_is_ready_for_it(tmp_path: Path) -> None:
    """Until its authority is known its handshake ends, so readiness, which the kubelet asks for without a certificate,
    must say "not yet" for as long: that keeps the API server away."""
    cluster = Cluster()
    cluster.tells_trust.clear()
    await cluster.publish()
    async with (
        serving(cluster.handle) as url,
        running(tmp_path, cluster_configuration(tmp_path, url), hpa=PROXY) as adapter,
        client(tmp_path, None) as kubelet,
    ):
        known = asyncio.create_task(until_known(adapter))
        with pytest.raises(aiohttp.ClientError):
            await adapter.get("/livez")
        assert (await adapter.get("/livez", kubelet))[0] == 200
        status, awaited = await adapter.get("/readyz", kubelet)
        assert status == 503
        assert awaited.startswith("whose certificates to believe is not known yet")
        assert not known.done(), "it waits, and does not take this for a break"
        cluster.tells_trust.set()
        await known
        adapter.session.headers.update(HPA_CONTROLLER)
        assert (await adapter.get("/apis"))[0] == 200


async def test_a_user_without_the_right_is_told_as_by_the_api_server(tmp_path: Path) -> None:
    async with in_cluster(tmp_path) as (adapter, cluster):
        cluster.may = lambda user, what: user == "ada" and what.get("namespace") == "llm"
        await start(adapter, cluster, "vllm-0", 3)
        await eventually(lambda: _pods_known_to_masters(adapter, 1))
        await adapter.collect()
        ada = {"X-Remote-User": "ada"}
        assert (await adapter.get(f"{PODS}/*/{WAITING}", **ada))[0] == 200
        status, text = await adapter.get(f"{PODS}/*/{WAITING}".replace("/llm/", "/team-b/"), **ada)
        assert status == 403
        assert json.loads(text)["message"] == (
            f'pods.custom.metrics.k8s.io "*" is forbidden: User "ada" cannot get resource "pods/{WAITING}" '
            'in API group "custom.metrics.k8s.io" in the namespace "team-b"'
        )


async def _pods_known_to_masters(adapter: Adapter, count: int) -> bool:
    return f"leadtime_adapter_pods {count:.1f}" in (await adapter.get("/metrics", **MASTERS))[1]


async def test_a_token_is_reviewed(tmp_path: Path) -> None:
    async with in_cluster(tmp_path) as (adapter, cluster), client(tmp_path, None) as anyone:
        cluster.tokens = {"good": HPA_CONTROLLER["X-Remote-User"], "ada's": "ada"}
        for token, code in (("good", 200), ("ada's", 403), ("bad", 401)):
            assert (await adapter.get("/apis", anyone, Authorization=f"Bearer {token}"))[0] == code
        assert [kind for kind, who in cluster.reviews if who in ("good", "ada's", "bad")] == ["TokenReview"] * 3


async def test_while_reviews_cannot_be_had_nobody_is_let_in_but_the_aggregators_probes(tmp_path: Path) -> None:
    async with in_cluster(tmp_path) as (adapter, cluster):

        def fail(*_: object) -> bool:
            raise RuntimeError("the API server has a fault")

        cluster.may = fail
        status, text = await adapter.get(f"{PODS}/*/{WAITING}")
        assert (status, json.loads(text)["code"]) == (500, 500)
        assert (await adapter.get("/apis/custom.metrics.k8s.io/v1beta2", **MASTERS))[0] == 200


async def test_the_front_proxys_authority_rotates_without_a_restart(tmp_path: Path) -> None:
    """Both are believed while both are published; the old one's connections lose their word when it is withdrawn."""
    new = make("front-proxy-client", OTHER_CA)
    async with in_cluster(tmp_path) as (adapter, cluster):
        assert (await adapter.get("/apis"))[0] == 200
        await cluster.publish(proxy_ca=PROXY_CA.pem + OTHER_CA.pem)

        async def accepts_the_new_one() -> bool:
            async with client(tmp_path, new) as session:
                try:
                    return (await adapter.get("/apis", session, **HPA_CONTROLLER))[0] == 200
                except aiohttp.ClientError:
                    return False

        await eventually(accepts_the_new_one)
        assert (await adapter.get("/apis"))[0] == 200, "the old one, on its open connection"
        await cluster.publish(proxy_ca=OTHER_CA.pem)

        async def refuses_the_old_one() -> bool:
            return (await adapter.get("/apis"))[0] == 401

        await eventually(refuses_the_old_one)
        assert await accepts_the_new_one()
        await cluster.publish(proxy_ca="not a certificate")
        await cluster.delete(CONFIG_MAPS, "kube-system", "extension-apiserver-authentication")
        assert await accepts_the_new_one(), "the last good state stays"


# Tenants.


async def test_a_namespace_reads_its_own_series_and_no_others(tmp_path: Path) -> None:
    """Also for a user who may read every namespace, as the HPA's controller may: it asks for team-b's HPA here."""
    async with in_cluster(tmp_path) as (adapter, cluster):
        await start(adapter, cluster, "vllm-0", 3)
        await start(adapter, cluster, "theirs", 50, namespace="team-b")
        await eventually(lambda: knows_pods(adapter, 2))
        await adapter.collect()
        theirs = EXTERNAL.replace("/llm", "/team-b")
        items = (await adapter.get_json(f"{theirs}/{WAITING}"))["items"]
        assert [item["metricLabels"]["pod"] for item in items] == ["theirs"]
        code, message = await adapter.refusal(f"{theirs}/{WAITING}?labelSelector=namespace%3Dllm")
        assert code == 403
        assert message == (
            "namespace 'team-b' may not read series of namespace 'llm' (namespace); allow it by visibleTo of the rule "
            "or tenancy.crossNamespace"
        )
        for selector in ("namespace!%3Dteam-b", "pod%3Dvllm-0", "namespace+notin+(team-b)"):
            assert (await adapter.refusal(f"{theirs}/{WAITING}?labelSelector={selector}"))[0] == 404
        assert (await adapter.refusal(f"{PODS}/vllm-0/{WAITING}".replace("/llm/", "/team-b/")))[0] == 404
        assert await adapter.values() == {"vllm-0": "3000m"}


async def test_the_configuration_opens_a_namespace_to_another(tmp_path: Path) -> None:
    tenancy = {"crossNamespace": [{"namespace": "team-b", "mayRead": ["llm"]}]}
    async with in_cluster(tmp_path, tenancy=tenancy) as (adapter, cluster):
        await start(adapter, cluster, "vllm-0", 3)
        await eventually(lambda: knows_pods(adapter, 1))
        await adapter.collect()
        theirs = EXTERNAL.replace("/llm", "/team-b")
        items = (await adapter.get_json(f"{theirs}/{WAITING}?labelSelector=namespace%3Dllm"))["items"]
        assert [item["value"] for item in items] == ["3000m"]
        assert (await adapter.refusal(f"{EXTERNAL.replace('/llm', '/team-c')}/{WAITING}"))[0] == 404


async def test_a_pods_page_cannot_speak_for_another_namespaces_pod(tmp_path: Path) -> None:
    async with in_cluster(tmp_path) as (adapter, cluster):
        await start(adapter, cluster, "vllm-0", 3)
        await start(adapter, cluster, "liar", 1, namespace="team-b")
        adapter.pages.show("/liar", f'{WAITING}{{namespace="llm",pod="vllm-0"}} 900\n')
        await eventually(lambda: knows_pods(adapter, 2))
        await adapter.collect()
        assert await adapter.values() == {"vllm-0": "3000m"}
        assert await adapter.values(of=f"{PODS}/*".replace("/llm/", "/team-b/")) == {"liar": "900000m"}


# Pods.


async def test_a_pod_leaves_at_once_however_it_ends_and_one_that_loads_is_left_out(tmp_path: Path) -> None:
    """Without another collection: the watch says so."""
    async with in_cluster(tmp_path) as (adapter, cluster):
        names = ["deleted", "terminating", "failed", "loading", "well"]
        for name in names:
            await start(adapter, cluster, name, 1)
        await eventually(lambda: knows_pods(adapter, 5))
        await adapter.collect()
        assert sorted(await adapter.values()) == sorted(names)
        await cluster.delete(POD_LIST, "llm", "deleted")
        await cluster.put(POD_LIST, scraped(adapter, "terminating", deleting=True))
        await cluster.put(POD_LIST, scraped(adapter, "failed", phase="Failed"))
        await cluster.put(POD_LIST, scraped(adapter, "loading", ready=False))

        async def only_the_well_one() -> bool:
            return await adapter.values() == {"well": "1000m"}

        await eventually(only_the_well_one)
        items = (await adapter.get_json(f"{EXTERNAL}/{WAITING}"))["items"]
        assert [item["metricLabels"]["pod"] for item in items] == ["well"], "and a sum is of the pods that serve"


async def test_objects_are_described_by_their_pods(tmp_path: Path) -> None:
    async with in_cluster(tmp_path) as (adapter, cluster):
        service = {"metadata": {"namespace": "llm", "name": "vllm"}, "spec": {"selector": {"app": "vllm"}}}
        await cluster.put("/api/v1/services", service)
        for name, value in (("vllm-0", 3), ("vllm-1", 4)):
            await start(adapter, cluster, name, value)
        await eventually(lambda: knows_pods(adapter, 2))
        await adapter.collect()
        for of, name in (("services", "vllm"), ("deployments.apps", "vllm"), ("replicasets.apps", "vllm-5d4f")):
            assert await adapter.values(of=PODS.removesuffix("pods") + f"{of}/{name}") == {name: "7000m"}
        nodes = "/apis/custom.metrics.k8s.io/v1beta2/nodes"
        assert await adapter.values(of=f"{nodes}/gpu-node-1") == {"gpu-node-1": "7000m"}


async def test_a_thousand_pods_replaced_leave_nothing_behind(tmp_path: Path) -> None:
    """Three generations: of each only its own pods are served, the old ones are gone before the next collection, and
    memory does not grow from the second to the third."""
    async with in_cluster(tmp_path) as (adapter, cluster):
        adapter.session._timeout = aiohttp.ClientTimeout(total=30)
        resident = []
        for generation in range(3):
            names = [f"vllm-{generation}-{number}" for number in range(1000)]
            adapter.pages.answers = {f"/{name}": page(f"{WAITING} {generation + 1}\n") for name in names}
            for name in names:
                await cluster.put(POD_LIST, scraped(adapter, name))
            await eventually(lambda: knows_pods(adapter, 1000))
            await adapter.collect(after_seconds=15)
            assert await adapter.values() == dict.fromkeys(names, f"{generation + 1}000m")
            own = await adapter.own_metrics()
            assert own['leadtime_adapter_series{source="scrape"}'] < 2500
            for name in names:
                await cluster.delete(POD_LIST, "llm", name)
            await eventually(lambda: serves_nothing(adapter))
            cluster._history.clear()  # the fake's own memory, 8 MB a generation
            gc.collect()
            resident.append(resident_bytes())
        assert resident[2] - resident[1] < 20 * MEGABYTE, resident
        assert (await adapter.get("/readyz"))[0] == 200


async def test_the_api_server_may_go_away_and_come_back(tmp_path: Path) -> None:
    async with in_cluster(tmp_path) as (adapter, cluster):
        await start(adapter, cluster, "vllm-0", 3)
        await eventually(lambda: knows_pods(adapter, 1))
        await adapter.collect()
        await cluster.end_watches(cut=True)
        await start(adapter, cluster, "vllm-1", 4)
        assert await adapter.values() == {"vllm-0": "3000m"}
        await eventually(lambda: knows_pods(adapter, 2))
        await adapter.collect(after_seconds=15)
        assert await adapter.values() == {"vllm-0": "3000m", "vllm-1": "4000m"}
