import pytest
pytestmark = pytest.mark.e2e
def test_x(adapter):
    import time
    time.sleep(1)
    print(adapter.replicas[0].log)
    r=adapter.plane.api.send("GET","/apis/custom.metrics.k8s.io/v1beta2")
    print(r.status, r.body[:300])
    r=adapter.plane.api.send("GET","/apis",headers={"Accept":"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"})
    d=r.json(); print([ (g["metadata"]["name"],[(v["version"],len(v["resources"]),v.get("freshness")) for v in g["versions"]]) for g in d["items"] if "metrics" in g["metadata"]["name"]])
    for i in range(40):
        r=adapter.plane.api.send("GET","/openapi/v2"); 
        v3=adapter.plane.api.send("GET","/openapi/v3").json()["paths"]
        print(i, r.status, len(r.body), b"custom.metrics.k8s.io" in r.body, [p for p in v3 if "metrics" in p], flush=True)
        if b"/apis/custom.metrics" in r.body: break
        time.sleep(3)
    print(adapter.replicas[0].log)
