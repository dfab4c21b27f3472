"""The targets file."""

import json
from pathlib import Path

import pytest

from adapter.sources.pods import PodInfo
from adapter.sources.series import PodKey
from adapter.sources.targets import BadTargets, Target, TargetsFile, parse_targets

POD = {"targets": ["127.0.0.1:8000"], "labels": {"namespace": "llm", "pod": "vllm-0", "app": "vllm"}}


def test_a_pod_group_names_the_pod_its_page_and_its_labels() -> None:
    targets = parse_targets(json.dumps([POD]))
    vllm_0 = PodKey("llm", "vllm-0")
    assert targets.targets == (Target(url="http://127.0.0.1:8000/metrics", role="pod", owner=vllm_0),)
    assert targets.pods == {vllm_0: PodInfo(labels={"app": "vllm"}, ready=None)}


def test_a_path_of_its_own_is_used() -> None:
    group = {"targets": ["[::1]:9"], "labels": {**POD["labels"], "__metrics_path__": "/m"}}  # type: ignore[dict-item]
    (target,) = parse_targets(json.dumps([group])).targets
    assert target.url == "http://[::1]:9/m"


def test_an_exporter_is_no_pod_to_show_and_may_leave_its_own_name_out() -> None:
    named = {"targets": ["a:1"], "labels": {"role": "exporter", "namespace": "gpu", "pod": "dcgm-x"}}
    nameless = {"targets": ["b:1"], "labels": {"role": "exporter"}}
    targets = parse_targets(json.dumps([named, nameless]))
    assert targets.pods == {}
    assert [target.owner for target in targets.targets] == [PodKey("gpu", "dcgm-x"), None]


def test_a_pod_without_a_page_is_known() -> None:
    targets = parse_targets(json.dumps([{**POD, "targets": []}]))
    assert targets.targets == ()
    assert list(targets.pods) == [PodKey("llm", "vllm-0")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "file: was not JSON", id="not-json"),
        pytest.param('{"targets": []}', "list", id="not-a-list"),
        pytest.param('[{"target": []}]', r"\[0\].targets: .*Field required", id="a-misspelled-field"),
        pytest.param('[{"targets": ["a"]}]', r"\[0\].targets\[0\]: was 'a', .*host:port", id="no-port"),
        pytest.param('[{"targets": ["http://a:1"]}]', "host:port", id="a-url"),
        pytest.param('[{"targets": ["a:99999"]}]', "host:port", id="a-port-out-of-range"),
        pytest.param('[{"targets": ["a:1/x"]}]', "host:port", id="an-address-with-a-path"),
        pytest.param('[{"targets": ["a b:1"]}]', "host:port", id="an-address-with-a-space"),
        pytest.param('[{"targets": ["a:1"]}]', r"\[0\].labels.namespace: was ''", id="a-pod-page-of-no-pod"),
        pytest.param(
            '[{"targets": ["a:1"], "labels": {"namespace": "llm", "pod": "A_b"}}]',
            r"\[0\].labels.pod: was 'A_b'",
            id="a-name-kubernetes-would-not-have",
        ),
        pytest.param(
            '[{"targets": ["a:1"], "labels": {"role": "node"}}]', "role must be pod or exporter", id="an-unknown-role"
        ),
        pytest.param(
            '[{"targets": ["a:1"], "labels": {"__scheme__": "https"}}]', "__scheme__ is not known", id="an-unknown-__"
        ),
        pytest.param(
            '[{"targets": ["a:1"], "labels": {"__metrics_path__": "m"}}]', "must start with /", id="a-relative-path"
        ),
        pytest.param(json.dumps([POD, POD]), "twice", id="one-page-listed-twice"),
        pytest.param(
            json.dumps([POD, {"targets": [], "labels": {"namespace": "llm", "pod": "vllm-0"}}]),
            "give a pod's labels once",
            id="one-pod-with-two-sets-of-labels",
        ),
    ],
)
def test_a_bad_file_is_refused_with_the_field_the_value_and_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(BadTargets, match=message):
        parse_targets(text)


def test_a_changed_file_is_seen_at_the_next_reading(tmp_path: Path) -> None:
    path = tmp_path / "targets.json"
    path.write_text(json.dumps([POD]))
    file = TargetsFile(path)
    assert len(file.read().targets) == 1
    path.write_text("[]")
    assert file.read().targets == ()


def test_a_broken_file_keeps_the_last_good_targets_and_says_so_until_it_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "targets.json"
    path.write_text(json.dumps([POD]))
    file = TargetsFile(path)
    good = file.read()
    path.write_text("[{")
    assert file.read() == good
    assert file.fault is not None
    assert str(path) in file.fault
    path.unlink()
    assert file.read() == good
    assert "not readable" in file.fault
    path.write_text("[]")
    assert file.read().targets == ()
    assert file.fault is None


def test_a_file_that_was_never_good_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadTargets, match="not readable"):
        TargetsFile(tmp_path / "absent.json").read()
