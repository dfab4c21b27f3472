"""What docs/adapter.md shows of the adapter's answers is what it answers."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from adapter_world import WAITING, Adapter, configuration, page, running

from adapter.explain_text import as_text

TEXT = (Path(__file__).parents[2] / "docs" / "adapter.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```text\n\$ (.*?)\n(.*?)\n```", TEXT, re.MULTILINE | re.DOTALL)
PODS = ("vllm-7d4b9c-2xkqp", "vllm-7d4b9c-8hf5z", "vllm-7d4b9c-qm6wd")


def shown(command: str) -> str:
    """What the page shows below a command."""
    (text,) = (below for said, below in BLOCKS if said == command)
    return text


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[Adapter]:
    """Three pods of which one stopped to answer 79 s ago and one has no number."""
    sources = [{"name": "pods", "scrape": {}}]
    async with running(tmp_path, configuration(tmp_path, sources=sources)) as one:
        for pod, value in zip(PODS, ("3.0", "11.0", "NaN"), strict=True):
            one.pages.show(f"/{pod}", f'{WAITING}{{engine="0",model_name="llama"}} {value}\n')
        one.list_targets(*(one.pages.group(f"/{pod}", namespace="default", pod=pod, app="vllm") for pod in PODS))
        await one.collect()
        one.pages.answers[f"/{PODS[1]}"] = page("", status="503 Service Unavailable")
        for _ in range(5):
            await one.collect(after_seconds=15)
        one.clock.second += 4
        yield one


async def test_the_explanation_that_is_shown(adapter: Adapter) -> None:
    path = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/{WAITING}?explain=true"
    command = f"leadtime adapter explain {WAITING} --namespace default"
    assert as_text(await adapter.get_json(path)) == shown(command)


async def test_the_refusal_that_is_shown(adapter: Adapter) -> None:
    """As kubectl prints a Status."""
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/default/{WAITING}"
    code, message = await adapter.refusal(path)
    assert code == 404
    assert f"Error from server (NotFound): {message}" == shown(f"kubectl get --raw {path}")
