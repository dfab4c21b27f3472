"""The `server` section: every kind with its own fields, and no other's."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from leadtime.scenario_file import ScenarioDraft, scenario_yaml
from leadtime.scenario_servers import ServerSection, server_of
from policies.errors import BadInput
from simulations.batching import FixedBatch, TorchServe, Triton
from simulations.batching.measured import BATCH_PROFILES
from simulations.server_kind import BatchedModel

T4 = "resnet50-fp16-t4"


def section(text: str) -> ServerSection:
    return ScenarioDraft({"demand": {"source": "x"}, "server": yaml.safe_load(text)}).checked().server


@pytest.mark.parametrize(
    ("text", "server"),
    [
        pytest.param("{kind: triton}", Triton(), id="triton-by-default"),
        pytest.param(
            "{kind: triton, max_batch_size: 16, preferred_batch_size: [4, 16], max_queue_delay_microseconds: 500, "
            "instance_group_count: 2, max_queue_size: 100, default_timeout_microseconds: 2000000}",
            Triton(
                max_batch_size=16, preferred_batch_size=(4, 16), max_queue_delay_microseconds=500,
                instance_group_count=2, max_queue_size=100, default_timeout_microseconds=2_000_000,
            ),
            id="triton",
        ),
        pytest.param("{kind: triton, dynamic_batching: false}", Triton(dynamic_batching=False), id="one-by-one"),
        pytest.param("{kind: torchserve}", TorchServe(), id="torchserve-by-default"),
        pytest.param(
            "{kind: torchserve, batch_size: 8, max_batch_delay: 20, job_queue_size: 50, workers: 2}",
            TorchServe(batch_size=8, max_batch_delay=20, job_queue_size=50, workers=2),
            id="torchserve",
        ),
        pytest.param(
            "{kind: fixed-batch, batch_size: 8, max_wait_seconds: 0.1, instances: 2, pads: true}",
            FixedBatch(batch_size=8, max_wait_seconds=0.1, instances=2, pads=True),
            id="fixed",
        ),
    ],
)  # fmt: skip
def test_a_batching_server_is_built_from_its_fields(text: str, server: Any) -> None:
    content = text.replace("}", f", batch_profile: {T4}}}") if text != "{}" else text
    assert server_of(section(content)) == BatchedModel(server=server, profile=BATCH_PROFILES[T4])


def test_vllm_is_the_default_and_nim_takes_its_fields() -> None:
    assert server_of(section("{}")) == "vllm"
    assert server_of(section("{kind: nim, prefix_caching: true, max_num_seqs: 32}")) == "nim"


def test_measured_batches_are_a_profile() -> None:
    kind = server_of(section("{kind: triton, measured: [[1, 0.003], [4, 0.006], [8, 0.010]]}"))
    assert isinstance(kind, BatchedModel)
    assert kind.profile.batch_seconds([1] * 4, [1] * 4) == pytest.approx(0.006, rel=0.02)
    assert kind.profile.source.startswith("measured by the user")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{kind: tgi}", "server.kind: was 'tgi', must be one of vllm, nim, triton", id="unknown-kind"),
        pytest.param(
            "{max_batch_size: 8}",
            "server.max_batch_size: was 8, must be left out for kind vllm, which does not have it; remove it or set "
            "kind: triton",
            id="triton-s-field-of-vllm",
        ),
        pytest.param(
            f"{{kind: triton, batch_profile: {T4}, prefix_caching: true}}",
            "server.prefix_caching: was True, must be left out for kind triton, which does not have it; remove it or "
            "set kind: vllm or nim",
            id="vllm-s-field-of-triton",
        ),
        pytest.param(
            f"{{kind: torchserve, batch_profile: {T4}, max_wait_seconds: 0.1}}",
            "server.max_wait_seconds: was 0.1, must be left out for kind torchserve",
            id="fixed-batch-s-field-of-torchserve",
        ),
        pytest.param("{kind: triton}", f"server.batch_profile: was null, must be one of {T4}", id="no-profile"),
        pytest.param(
            f"{{kind: triton, batch_profile: {T4}, measured: [[1, 1], [2, 2]]}}",
            f"server.batch_profile: was '{T4}' beside measured",
            id="two-profiles",
        ),
        pytest.param("{kind: triton, batch_profile: bert}", "server.batch_profile: was 'bert'", id="unknown-profile"),
        pytest.param("{kind: triton, measured: [[1, 0.1]]}", "server.measured: was [(1, 0.1)], must be two", id="one"),
        pytest.param("{kind: triton, measured: [[1.5, 0.1]]}", "server.measured: was [1.5, 0.1] for one", id="half"),
        pytest.param("{kind: triton, measured: [[1]]}", "server.measured: was [1", id="no-seconds"),
        pytest.param(
            f"{{kind: triton, batch_profile: {T4}, preferred_batch_size: [16]}}",
            "server.preferred_batch_size: was 16, must be in [1, 8], the max_batch_size",
            id="preferred-beyond-the-largest",
        ),
        pytest.param(
            f"{{kind: fixed-batch, batch_profile: {T4}}}",
            "server.batch_size: was null, must be in [1, 65536] for kind fixed-batch",
            id="no-size",
        ),
        pytest.param(
            f"{{kind: torchserve, batch_profile: {T4}, workers: 0}}",
            "server.workers: was 0, must be in [1, 65536]",
            id="no-workers",
        ),
    ],
)
def test_what_does_not_fit_the_kind_is_refused_by_field(text: str, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        section(text.replace("[[1]]", "[[1.0]]"))
    assert str(refused.value).startswith(message)


def test_a_printed_scenario_of_another_kind_reads_as_itself(tmp_path: Path) -> None:
    """Every field is printed, those of other kinds at their defaults: that is not giving them."""
    path = tmp_path / "s.yaml"
    path.write_text(f"demand: x\nserver: {{kind: torchserve, batch_profile: {T4}, batch_size: 4}}\n")
    file = ScenarioDraft.of(str(path)).checked()
    path.write_text(scenario_yaml(file))
    assert ScenarioDraft.of(str(path)).checked() == file


def test_the_references_example_is_a_scenario() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "servers.md").read_text(encoding="utf-8")
    example = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    kind = server_of(section(yaml.safe_dump(example["server"])))
    assert isinstance(kind, BatchedModel)
    assert kind.server == Triton(max_batch_size=16, preferred_batch_size=(8, 16), max_queue_delay_microseconds=2_000)
