"""The program takes what the manifests give it: the container's arguments and each configuration file."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from adapter.auth.settings import ServingCertificateSettings
from adapter.cli import app
from adapter.configuration_file import parse_configuration

ADAPTER = Path(__file__).parents[3] / "manifests" / "adapter"
CONFIGURATIONS = sorted(ADAPTER.rglob("adapter.yaml"))


def test_the_container_starts_the_adapter_with_its_mounted_configuration() -> None:
    """The file that the arguments name lies in the mounted folder, as kustomize's generator puts it there."""
    deployment = yaml.safe_load((ADAPTER / "base" / "deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    kustomization = yaml.safe_load((ADAPTER / "base" / "kustomization.yaml").read_text())
    (generator,) = (each for each in kustomization["configMapGenerator"] if each["name"] == "leadtime-adapter")
    (folder,) = (each["mountPath"] for each in container["volumeMounts"] if each["name"] == "config")
    command, *arguments = container["args"]
    assert arguments == [f"--config={folder}/{Path(name).name}" for name in generator["files"]]
    assert parsed(command, f"--config={ADAPTER / 'base' / 'config' / 'adapter.yaml'}")["config"] is not None


def test_there_is_a_configuration_for_the_base_and_each_way_of_collecting() -> None:
    assert len(CONFIGURATIONS) == 5


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.parent.name)
def test_every_configuration_passes_the_adapters_own_check(path: Path, tmp_path: Path) -> None:
    """With the folder of rules where it is on this machine, and the two names that are one's own filled in."""
    shutil.copytree(ADAPTER.parent / "examples" / "rules", tmp_path / "rules")
    text = path.read_text().replace("PROJECT_ID", "my-project").replace("CLUSTER_NAME", "my-cluster")
    assert text.count("[/etc/leadtime/rules]") == 1
    (tmp_path / "adapter.yaml").write_text(text.replace("/etc/leadtime/rules", str(tmp_path / "rules")))
    done = CliRunner().invoke(app, ["serve", "--check", "--config", str(tmp_path / "adapter.yaml")])
    assert done.exit_code == 0, done.output
    assert "good" in done.output


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.parent.name)
def test_the_names_of_the_self_managed_certificate_are_the_defaults(path: Path) -> None:
    """Whoever leaves the section out gets what the manifests' Service, Secret and rights are for."""
    text = path.read_text().replace("PROJECT_ID", "my-project").replace("CLUSTER_NAME", "my-cluster")
    told = parse_configuration(text, path.name).serving_certificate
    if told.cert_file is None:
        assert told == ServingCertificateSettings()


def test_a_name_that_was_left_to_fill_in_is_refused_with_its_line() -> None:
    path = ADAPTER / "overlays" / "cloud-monitoring-workload-identity" / "adapter.yaml"
    done = CliRunner().invoke(app, ["serve", "--check", "--config", str(path)])
    assert done.exit_code == 2
    assert f"{path.name}:9: sources[1].cloudMonitoring.project: was 'PROJECT_ID'" in done.output


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["serve"], id="serve"),
        pytest.param(["explain"], id="explain"),
        pytest.param(["rules", "check"], id="rules-check"),
        pytest.param(["rules", "list"], id="rules-list"),
    ],
)
def test_the_commands_that_the_documentation_names_are_there(words: list[str]) -> None:
    assert f"leadtime adapter {' '.join(words)}" in (ADAPTER.parents[1] / "docs" / "adapter.md").read_text()
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]


def parsed(command: str, *arguments: str) -> dict[str, Any]:
    """The parameters of a command of the adapter, parsed and not run."""
    group: Any = typer.main.get_command(app)
    context = group.commands[command].make_context(command, list(arguments))
    return dict(context.params)
