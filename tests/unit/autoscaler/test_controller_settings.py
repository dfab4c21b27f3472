"""The controller's configuration file: what it takes, what it refuses and how it says so, and its page of reference."""

import importlib.util
import inspect
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapter.sources.section import Section
from autoscaler import settings as controller_settings
from autoscaler.cli import app
from autoscaler.configuration_file import parse_configuration, read_configuration
from autoscaler.settings import ControllerSettings
from policies.errors import BadInput

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "docs" / "reference" / "controller.md"
TITLES = {
    "ControllerSettings": "The configuration file",
    "ClusterSettings": "`cluster`",
    "StepSettings": "`steps`",
    "PageDiscoverySettings": "`pageDiscovery`",
    "LeaderElectionSettings": "`leaderElection`",
    "ServerSettings": "`server`",
    "StoreSettings": "`store`",
    "DecisionLogSettings": "`decisionLog`",
}
HEAD = """\
# The controller's configuration, field by field

The file that `leadtime controller run --config` takes. A key that is not known, or a value out of its range, ends the
start with one line that names it. What is not listed with its own table here is the adapter's section of that name:
`sources[]` and `pageDiscovery.pages[]` in [adapter.md](adapter.md).

This page is written from the code:
`LEADTIME_WRITE_REFERENCE=1 pytest tests/unit/autoscaler/test_controller_settings.py`.
"""


def test_an_empty_file_is_the_defaults() -> None:
    assert parse_configuration("", "c.yaml") == ControllerSettings()


def test_a_file_that_says_everything_is_taken() -> None:
    text = """
apiVersion: controller.leadtime.dev/v1alpha1
kind: ControllerConfiguration
name: leadtime-blue
namespace: platform
cluster: {kubeconfig: kubeconfig.yaml, context: staging, namespaces: [llm, chat]}
steps: {syncPeriodSeconds: 30, timeoutSeconds: 5, concurrency: 8}
sources:
- prometheus: {url: "http://prometheus.monitoring:9090"}
- scrape: {}
pageDiscovery: {annotations: false, pages: [{port: metrics}]}
leaderElection: {leaseName: blue, leaseDurationSeconds: 15, renewDeadlineSeconds: 10, retryPeriodSeconds: 2}
server: {host: "::1", port: 0}
store: {path: "", flushSeconds: 30}
decisionLog: {path: "-"}
nodePoolsPeriodSeconds: 60
publishedMaxAgeSeconds: 45
logLevel: DEBUG
"""
    settings = parse_configuration(text, "c.yaml")
    assert [source.kind for source in settings.sources] == ["prometheus", "scrape"]
    assert settings.leader_election.lease_duration_seconds == 15
    assert settings.steps.concurrency == 8


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("server:\n  port: 99999\n", "c.yaml:2: server.port: was 99999, must be in [0, 65535]; correct it"),
        ("server:\n  prot: 1\n", "c.yaml:2: server.prot: was not expected, did you mean port?"),
        ("steps: {syncPeriodSeconds: soon}\n", "c.yaml:1: steps.syncPeriodSeconds: was 'soon', must be a number"),
        (
            "leaderElection:\n  leaseDurationSeconds: 8\n",
            "c.yaml:1: leaderElection.renewDeadlineSeconds: was 8, must be below leaseDurationSeconds (8); shorten it",
        ),
        (
            "leaderElection: {retryPeriodSeconds: 7}\n",
            "c.yaml:1: leaderElection.renewDeadlineSeconds: was 8, must be above 1.2 x retryPeriodSeconds (7)",
        ),
        ("sources: []\n", "c.yaml:1: sources: had none, must have at least one"),
        ("sources: [{scrape: {}}, {scrape: {}}]\n", "name 'scrape' was there twice"),
        ("logLevel: LOUD\n", "c.yaml:1: logLevel: was 'LOUD', must be one of DEBUG, INFO, WARNING, ERROR"),
        ("namespace: Not A Name\n", "c.yaml:1: namespace: was 'Not A Name', must match"),
        ("a: [\n", "c.yaml:2: file: was not YAML"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_line_and_remedy(text: str, says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_configuration(text, "c.yaml")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must be a readable UTF-8 file"):
        read_configuration(tmp_path / "none.yaml")


def test_the_command_checks_a_file_and_prints_the_crd(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("cluster: {namespaces: [llm]}\n")
    bad.write_text("server: {port: -1}\n")
    checked = CliRunner().invoke(app, ["run", "--check", "--config", str(good)])
    assert (checked.exit_code, checked.stdout) == (0, "leadtime controller: good: 1 sources, namespaces llm\n")
    refused = CliRunner().invoke(app, ["run", "--config", str(bad)])
    assert refused.exit_code == 2
    assert f"{bad}:1: server.port: was -1" in refused.output
    printed = CliRunner().invoke(app, ["crd"])
    assert "kind: CustomResourceDefinition" in printed.stdout


def test_a_cluster_that_cannot_be_named_ends_the_start_in_one_line(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"cluster: {{kubeconfig: {tmp_path / 'none'}}}\n")
    refused = CliRunner().invoke(app, ["run", "--config", str(config)])
    assert refused.exit_code == 2
    assert "cluster.kubeconfig: was" in refused.output


def test_the_reference_is_what_the_code_says() -> None:
    text = HEAD + "".join(_adapter_reference().chapter(section) for section in sections())
    for name, title in TITLES.items():
        text = text.replace(f"## `{name}`", f"## {title}")
    if os.environ.get("LEADTIME_WRITE_REFERENCE"):
        REFERENCE.write_text(text, encoding="utf-8")
    assert REFERENCE.read_text(encoding="utf-8") == text, "write it anew: LEADTIME_WRITE_REFERENCE=1 pytest, this file"


def test_every_field_says_what_it_means() -> None:
    rows = _adapter_reference().rows
    silent = {
        f"{section.__name__}.{name}"
        for section in sections()
        for name, (_, _, meaning) in rows(section).items()
        if not meaning and name not in ("apiVersion", "kind")
    }
    assert silent == set()


def sections() -> list[type[Section]]:
    """Those of the controller's own file, in the page's order; each must have its title."""
    found = {
        name: value
        for name, value in vars(controller_settings).items()
        if inspect.isclass(value) and issubclass(value, Section) and value.__module__ == controller_settings.__name__
    }
    assert set(found) == set(TITLES)
    return [found[name] for name in TITLES]


def _adapter_reference() -> Any:
    """How the adapter's page is written, from the test that does it."""
    path = ROOT / "tests" / "unit" / "manifests" / "test_adapter_reference.py"
    spec = importlib.util.spec_from_file_location("adapter_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
