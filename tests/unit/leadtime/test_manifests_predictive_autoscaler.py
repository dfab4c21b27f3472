"""A PredictiveAutoscaler as it stands becomes the policy that the controller decides by."""

from pathlib import Path

import pytest

from autoscaler.crd.build import combined_spec
from autoscaler.crd.parse import parse_spec
from leadtime.manifests.read import read_policy
from policies.combined.decide import decide
from policies.errors import BadInput

EXAMPLE = Path(__file__).parents[3] / "manifests" / "examples" / "predictive-autoscaler.yaml"
HEAD = """\
apiVersion: autoscaling.leadtime.dev/v1alpha1
kind: PredictiveAutoscaler
metadata: {name: chat}
"""
SPEC = """\
spec:
  scaleTargetRef: {kind: Deployment, name: chat}
  maxReplicas: 8
  profile: llama-3.1-8b-h100
  slo:
    tpotSeconds: 0.05
"""


def test_it_decides_with_the_controllers_code_and_spec(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(HEAD + SPEC + "  mode: Direct\n  nodePools: [{name: gpu, maxNodes: 4}]\n")
    policy = read_policy(path)
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "chat"},
        "maxReplicas": 8,
        "profile": "llama-3.1-8b-h100",
        "slo": {"tpotSeconds": 0.05},
    }
    assert (policy.name, policy.decide, policy.spec) == ("chat", decide, combined_spec(parse_spec(spec)))
    path.write_text(path.read_text() + "  podDeletionCost: ByNode\n")
    assert read_policy(path).spec.pod_deletion_cost == "ByNode"


def test_the_example_is_read() -> None:
    policy = read_policy(EXAMPLE)
    assert (policy.name, policy.spec.predictive.max_replicas) == ("vllm", 20)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        pytest.param(
            HEAD + SPEC.replace("0.05", "0.05\n    ttftSecond: 2").replace("8\n", "0\n", 1),
            ["m.yaml:6: spec.maxReplicas: was 0, must be", "m.yaml:10: spec.slo.ttftSecond: is no field; did you mean"],
            id="every-fault-with-its-line",
        ),
        pytest.param(
            HEAD + SPEC + "  metrics:\n  - type: Pods\n",
            ["m.yaml:11: spec.metrics[0]"],
            id="in-a-list",
        ),
        pytest.param(
            HEAD + SPEC.replace("0.05", "0.001"), ["m.yaml:9: spec.slo.tpotSeconds: "], id="an-slo-that-the-gpu-misses"
        ),
        pytest.param(
            HEAD + SPEC.replace("llama-3.1-8b-h100", "lama-h100"), ["m.yaml:7: spec.profile: "], id="no-such-profile"
        ),
        pytest.param(
            HEAD.replace("v1alpha1", "v1") + SPEC,
            ["m.yaml:1: apiVersion: was 'autoscaling.leadtime.dev/v1', must be autoscaling.leadtime.dev/v1alpha1"],
            id="another-version",
        ),
        pytest.param(HEAD, ["m.yaml:1: spec: was not given, must be a mapping"], id="no-spec"),
    ],
)
def test_what_cannot_run_is_named_with_its_line(tmp_path: Path, text: str, messages: list[str]) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as refused:
        read_policy(path)
    lines = str(refused.value).replace(str(path), "m.yaml").splitlines()
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages, strict=True):
        assert line.startswith(message)
