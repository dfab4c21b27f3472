"""A scenario in YAML: what it may say, what is wrong with it and where, and that it can be written and read again."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from leadtime.scenario_cluster import GpuSharingSection, PoolSection, QuotaSection, SpotSection, StockoutSection
from leadtime.scenario_faults import allowed
from leadtime.scenario_file import ScenarioDraft, ScenarioFile, scenario_yaml
from leadtime.scenario_pods import ProbeSection, RolloutSection, StartSection
from leadtime.scenario_sections import (
    DemandSection,
    DisaggregationSection,
    FailuresSection,
    LeadTimeSection,
    NodesSection,
    ReplicasSection,
    RouterSection,
    RouterWeights,
    Section,
    ServerSection,
    WorkloadSection,
)
from policies.errors import BadInput

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "scenario.md"

FULL = """\
demand: {source: trace.csv, scale_rate: 2, thin: 0.5, time_warp: 1.5, start_minutes: 1, minutes: 5, seed: 3}
profile: llama-3.1-8b-h100
policies: ["leadtime", "hpa", "hpa-total-demand:target_requests=10", hpa.yaml]
slo: {ttft_seconds: 2, tpot_seconds: 0.075, e2e_seconds: null}
replicas: {initial: 4, min: 1, max: 20}
router: {policy: prefix-aware, signal_interval_seconds: 0, weights: {kv: 2}}
server: {prefix_caching: true, max_loras: 4, priority_scheduling: true, max_num_seqs: 64}
timeouts: {gateway_seconds: 30, client_seconds: null}
failures: {mtbf_hours: 100, retry: false}
metrics: {scrape_seconds: 5, delay_seconds: 2, loss_probability: 0.01, stale_probability: 0, max_age_seconds: 60}
lead_time: {start_median_seconds: 111, load_median_seconds: 120, sigma: 0.2, warm_start_median_seconds: 3}
workload: {kind: StatefulSet, termination_grace_period_seconds: 30}
pod: {cpu: 4, tolerations: [team], min_available: 1}
cluster: {autoscaler: cluster-autoscaler, quotas: [{gpu: l4, gpus: 8}], stockouts: [{start_minutes: 1, end_minutes: 2}]}
nodes: {gpus_per_node: 8, min_nodes: 0, max_nodes: 10, provision_median_seconds: 90}
disaggregation: {prefill_replicas: 2, transfer_gbytes_per_second: 25}
workloads:
- {name: chat, demand: trace.csv, replicas: {initial: 2, max: 4}}
- {name: batch, profile: llama-3.1-8b-l4, policy: hpa-queue}
price_per_gpu_hour: 0.71
seed: 1
phase_seeds: [1, 2]
"""


WORLD = """\
demand: x
start: {preset: nim-l4, kept_by: node, startup: {period_seconds: 5}}
rollout: {at_minutes: 30, strategy: canary, weights_percent: [10]}
pools:
- {name: spot, machine_type: g2-standard-4, zones: [a, b], spot: {zone_events_per_hour: 0.1}, priority: 1}
- {name: shared, gpus_per_node: 2, gpu_sharing: {per_gpu: 4}, taints: [team], price_per_node_hour: 2}
"""


def read(folder: Path, text: str, **fields: Any) -> ScenarioFile:
    path = folder / "scenario.yaml"
    path.write_text(text)
    draft = ScenarioDraft.of(str(path))
    for field, value in fields.items():
        draft.set(field.replace("__", "."), value, f"--{field}")
    return draft.checked()


def test_a_demand_is_enough_and_the_rest_has_defaults(tmp_path: Path) -> None:
    file = read(tmp_path, "demand: poisson:rate=5\n")
    assert file == ScenarioFile(demand=DemandSection(source="poisson:rate=5"))
    assert file.policies == ["leadtime"]
    assert (file.replicas.initial, file.replicas.max, file.nodes) == (4, 20, None)


def test_an_argument_that_is_no_yaml_is_a_demand() -> None:
    assert ScenarioDraft.of("trace.csv.gz").checked().demand == DemandSection(source="trace.csv.gz")


def test_every_section_is_read(tmp_path: Path) -> None:
    file = read(tmp_path, FULL)
    assert file.router.weights is not None
    assert (file.router.weights.kv, file.router.weights.queue) == (2, 0)
    assert file.workloads is not None
    assert file.workloads[0].demand == DemandSection(source="trace.csv")
    assert file.workloads[0].replicas == ReplicasSection(initial=2, max=4)


def test_what_is_printed_reads_as_the_same_scenario(tmp_path: Path) -> None:
    for text in (
        "demand: x\n",
        FULL,
        "demand: 'poisson:rate=5,minutes=60 # odd'\nnodes: {}\nworkloads: [{name: 'a: b'}]\n",
        WORLD,
    ):
        file = read(tmp_path, text)
        printed = scenario_yaml(file)
        assert read(tmp_path, printed) == file
        assert scenario_yaml(read(tmp_path, printed)) == printed


@settings(max_examples=60, deadline=None)  # each reads a file
@given(
    st.builds(
        ScenarioFile,
        demand=st.builds(DemandSection, source=st.text(min_size=1), thin=st.floats(0.01, 1), minutes=st.floats(1, 99)),
        router=st.builds(RouterSection, signal_interval_seconds=st.floats(0, 60)),
        server=st.builds(ServerSection, max_loras=st.integers(0, 9), prefix_caching=st.booleans()),
        failures=st.builds(FailuresSection, mtbf_hours=st.none() | st.floats(0.001, 1000)),
        lead_time=st.builds(LeadTimeSection, sigma=st.floats(0, 3)),
        nodes=st.none() | st.builds(NodesSection, min_nodes=st.integers(0, 3), max_nodes=st.integers(3, 9)),
        policies=st.lists(st.text(min_size=1).filter(str.strip), min_size=1),
        price_per_gpu_hour=st.floats(0, 100),
        seed=st.integers(0, 2**32 - 1),
    )
)
def test_any_scenario_survives_being_printed(tmp_path_factory: pytest.TempPathFactory, file: ScenarioFile) -> None:
    assert read(tmp_path_factory.mktemp("scenario"), scenario_yaml(file)) == file


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("seeds: 1", "2: seeds: unknown field; did you mean seed?", id="unknown-key"),
        pytest.param("replicas:\n  maxx: 3", "3: replicas.maxx: unknown field; did you mean max?", id="unknown-inner"),
        pytest.param("server: {prefix_cache: true}", "did you mean prefix_caching?", id="unknown-nearest-valid-one"),
        pytest.param("router: {zzz: 1}", "must be one of policy, signal_interval_seconds, weights", id="nothing-near"),
        pytest.param("workloads: [{name: a, profil: b}]", "2: workloads.0.profil: unknown field", id="in-a-list"),
        pytest.param("replicas: {max: 0}", "replicas.max: was 0, must be in [1, 100000]", id="below-its-range"),
        pytest.param("seed: 1.5", "seed: was 1.5, must be a whole number in [0, 4294967295]", id="not-whole"),
        pytest.param("seed: true", "seed: was True, must be a whole number", id="true-is-not-1"),
        pytest.param("seed: '1'", "seed: was '1', must be a whole number", id="a-text-is-no-number"),
        pytest.param("failures: {retry: 1}", "failures.retry: was 1, must be true or false", id="1-is-not-true"),
        pytest.param("slo: {ttft_seconds: .nan}", "slo.ttft_seconds: was nan, must be a number in", id="nan"),
        pytest.param("slo: fast", "slo: was 'fast', must be a mapping with ttft_seconds", id="text-for-a-section"),
        pytest.param("policies: []", "policies: was [], must be a list that is not empty", id="no-policies"),
        pytest.param("policies: hpa", "policies: was 'hpa', must be a list", id="one-policy-without-a-list"),
        pytest.param("policies: [' ']", "must be names or paths; remove the empty one", id="empty-policy"),
        pytest.param("router: {policy: fastest}", "must be one of least-outstanding, round-robin", id="choice"),
        pytest.param("router: {signal_interval_seconds: -1}", "must be in [0, 3600]", id="signals-from-the-future"),
        pytest.param("replicas: {min: 9, max: 8}", "replicas.min: was 9, must be in [0, max = 8]", id="min-over-max"),
        pytest.param("replicas: {initial: 30}", "replicas.initial: was 30, must be in [min, max]", id="initial"),
        pytest.param("nodes: {min_nodes: 11}", "nodes.min_nodes: was 11, must be in [0, max_nodes = 10]", id="nodes"),
        pytest.param(
            "metrics: {scrape_seconds: 60, delay_seconds: 10}",
            "metrics.max_age_seconds: was 60, must be at least scrape_seconds + delay_seconds = 70",
            id="metrics-that-are-always-too-old",
        ),
        pytest.param("router: {weights: {kv: 1}}", "must be null for least-outstanding", id="weights-unused"),
        pytest.param("router: {policy: kv-aware, weights: {}}", "was 0 for every signal", id="weights-of-nothing"),
        pytest.param("phase_seeds: [1, 1]", "phase_seeds: was [1, 1], must be different numbers", id="equal-phases"),
        pytest.param("workloads: [{name: a}, {name: a}]", "rename one a", id="equal-names"),
        pytest.param("workloads: [{name: a}]", "nodes: was null, must be a pool", id="workloads-without-nodes"),
        pytest.param("demand: y", "'demand' is given twice", id="key-given-twice"),
        pytest.param("seed: [", "is not YAML", id="not-yaml"),
    ],
)
def test_a_fault_is_one_line_with_file_line_field_value_and_range(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(BadInput) as refused:
        read(tmp_path, f"demand: x\n{text}\n")
    message = str(refused.value)
    assert fault in message
    assert message.startswith(f"{tmp_path / 'scenario.yaml'}:")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("", "holds 0 scenarios, must hold one", id="empty"),
        pytest.param("- a\n", "was a list, must be a mapping with demand", id="a-list"),
        pytest.param("seed: 1\n", "demand: was not given, must be a text, or a mapping with source", id="no-demand"),
        pytest.param("demand: x\n---\ndemand: y\n", "holds 2 scenarios", id="two-documents"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(BadInput, match=fault):
        read(tmp_path, text)


def test_a_scenario_that_is_not_there_is_named() -> None:
    with pytest.raises(BadInput, match=r"nowhere\.yaml does not exist"):
        ScenarioDraft.of("nowhere.yaml")


def test_a_flag_goes_before_the_file_and_is_named_when_it_is_wrong(tmp_path: Path) -> None:
    assert read(tmp_path, "demand: x\nreplicas: {max: 9}\n", replicas__max=7).replicas.max == 7
    with pytest.raises(BadInput, match=r"^--replicas__max: was 0, must be in \[1, 100000\]"):
        read(tmp_path, "demand: x\nreplicas: {max: 9}\n", replicas__max=0)


def test_a_field_of_a_section_that_is_null_starts_from_its_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "demand: x\nnodes: null\n", nodes__max_nodes=3).nodes == NodesSection(max_nodes=3)


def test_another_demand_keeps_what_else_is_said_of_it(tmp_path: Path) -> None:
    file = read(tmp_path, "demand: {source: x, minutes: 5}\n", demand="y")
    assert file.demand == DemandSection(source="y", minutes=5)


def test_what_is_no_section_cannot_have_fields(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="seed is not a section of the scenario"):
        read(tmp_path, "demand: x\nseed: 1\n", seed__x=3)
    with pytest.raises(BadInput, match=r"was index 7, must be in \[0, 1\]"):
        read(tmp_path, "demand: x\nphase_seeds: [1, 2]\n", phase_seeds__7=3)


def test_a_variation_leaves_the_scenario_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("demand: x\nreplicas: {max: 9}\n")
    draft = ScenarioDraft.of(str(tmp_path / "s.yaml"))
    assert draft.with_set({"replicas.max": 5, "demand.thin": 0.5}).checked().replicas.max == 5
    assert draft.checked().replicas.max == 9


def test_files_beside_the_scenario_are_found_from_anywhere(tmp_path: Path) -> None:
    for name in ("trace.csv", "hpa.yaml", "own.yaml", "m-rates.csv.gz"):
        (tmp_path / name).write_text("")
    file = read(
        tmp_path,
        "demand: m\nprofile: own.yaml\npolicies: [hpa.yaml, leadtime]\n"
        "nodes: {}\nworkloads: [{name: a, demand: trace.csv}]\n",
    )
    assert file.demand.source == str(tmp_path / "m")
    assert file.profile == str(tmp_path / "own.yaml")
    assert file.policies == [str(tmp_path / "hpa.yaml"), "leadtime"]
    assert file.workloads is not None
    assert file.workloads[0].demand == DemandSection(source=str(tmp_path / "trace.csv"))


def rows(section: type[Section], prefix: str = "") -> list[str]:
    """The reference page's line for each field, from the models."""
    lines = []
    for name, info in section.model_fields.items():
        inner = info.default if isinstance(info.default, Section) else None
        if inner is None:
            default = "required" if info.is_required() else f"`{_spelled(info.default)}`"
            lines.append(f"| `{prefix}{name}` | {allowed(info)} | {default} | {info.description} |")
        else:
            lines += rows(type(inner), f"{prefix}{name}.")
    return lines


def _spelled(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def test_the_reference_page_lists_every_field_with_range_default_and_meaning() -> None:
    page = REFERENCE.read_text(encoding="utf-8")
    sections = (
        (DemandSection, "demand."),
        (ScenarioFile, ""),
        (RouterWeights, "router.weights."),
        (NodesSection, "nodes."),
        (PoolSection, "pools.N."),
        (SpotSection, "pools.N.spot."),
        (GpuSharingSection, "pools.N.gpu_sharing."),
        (QuotaSection, "cluster.quotas.N."),
        (StockoutSection, "cluster.stockouts.N."),
        (StartSection, "start."),
        (ProbeSection, "start.PROBE."),
        (RolloutSection, "rollout."),
        (DisaggregationSection, "disaggregation."),
        (WorkloadSection, "workloads.N."),
    )
    missing = [line for section, prefix in sections for line in rows(section, prefix) if line not in page]
    assert not missing, "add to docs/reference/scenario.md:\n" + "\n".join(missing)
