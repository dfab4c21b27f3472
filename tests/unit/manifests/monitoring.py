"""A Grafana dashboard and Prometheus alerts as the tests of both servers look at them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """dashboard: Grafana's JSON. alerts: a PrometheusRule. own: matches the names of the server's own metrics."""

    dashboard: Json
    alerts: Json
    own: re.Pattern[str]

    @classmethod
    def of(cls, server: str, own: str) -> "Monitoring":
        """server: its folder below manifests/."""
        folder = Path(__file__).parents[3] / "manifests" / server
        return cls(
            dashboard=json.loads((folder / "dashboards" / f"{server}.json").read_text()),
            alerts=yaml.safe_load((folder / "alerts.yaml").read_text()),
            own=re.compile(own),
        )

    @property
    def panels(self) -> list[Json]:
        found: list[Json] = self.dashboard["panels"]
        return found

    @property
    def rules(self) -> list[Json]:
        return [rule for group in self.alerts["spec"]["groups"] for rule in group["rules"]]

    @property
    def expressions(self) -> list[str]:
        shown = [target["expr"] for panel in self.panels for target in panel.get("targets", ())]
        return shown + [rule["expr"] for rule in self.rules]

    @property
    def variables(self) -> dict[str, Json]:
        return {each["name"]: each for each in self.dashboard["templating"]["list"]}

    def own_names(self, text: str) -> set[str]:
        """The server's own metrics in a text, without a histogram's suffixes."""
        return {re.sub(r"_(bucket|sum|count)$", "", name) for name in self.own.findall(text)}

    def unknown_labels(self, served: Mapping[str, tuple[str, ...]], known: Iterable[str]) -> dict[str, set[str]]:
        """Expression -> labels that it asks for and that none of its metrics has. known: labels of any metric."""
        found = {}
        for text in self.expressions:
            if names := self.own_names(text):
                there = {label for name in names for label in served[name]} | set(known)
                asked = {label for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", text) for label in group.split(", ")}
                asked |= set(re.findall(r"[{,] ?(\$?\w+)(?:=|!=|=~|!~)\"", text))
                if asked - there:
                    found[text] = asked - there
        return found


def check_layout(monitoring: Monitoring) -> None:
    """Panels have ids of their own, stay within the width and do not overlap."""
    panels = monitoring.panels
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert not [(i, j) for i, one in enumerate(places) for j, other in enumerate(places[:i]) if _overlaps(one, other)]
    assert all(place["x"] + place["w"] <= 24 for place in places)


def check_panels(monitoring: Monitoring) -> None:
    """Each takes the chosen data source, names its unit, and uses variables that are there."""
    variables = monitoring.variables
    assert variables["datasource"]["query"] == "prometheus"
    for panel in monitoring.panels:
        used = set(re.findall(r"\$(\w+)", panel["title"]))
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            used |= {name for target in panel["targets"] for name in re.findall(r"\$(\w+)", target["expr"])}
        assert used <= {*variables, "__rate_interval"}, panel["title"]


def check_expressions(expressions: Iterable[str], folder: Path) -> None:
    """By promtool. Variables must have been filled in, but for $__rate_interval."""
    recorded = [
        {"record": f"expression:number{number}", "expr": text.replace("$__rate_interval", "1m")}
        for number, text in enumerate(expressions)
    ]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": recorded}]}))
    done = promtool("check", "rules", "rules.yaml", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def check_alerts(monitoring: Monitoring, cases: str, folder: Path) -> None:
    """They fire when they must and only then. cases: in promtool's own format; in one of them each alert fires."""
    assert {rule["alert"] for rule in monitoring.rules} == set(_firing(yaml.safe_load(cases)))
    (folder / "rules.yaml").write_text(yaml.safe_dump(monitoring.alerts["spec"]))
    (folder / "cases.yaml").write_text(cases)
    done = promtool("test", "rules", "cases.yaml", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def check_words(rule: Json) -> None:
    """An alert says how bad it is, and in sentences what to do."""
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert all(text.endswith(".") for text in _sentences(rule["annotations"]))


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = shutil.which("promtool")
    if command is None:
        pytest.skip("promtool (of the package prometheus) is not on the PATH")
    return subprocess.run(  # noqa: S603 - a fixed command on our own files
        [command, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def _firing(cases: Json) -> Iterator[str]:
    for test in cases["tests"]:
        yield from (each["alertname"] for each in test.get("alert_rule_test", ()) if each["exp_alerts"])
        for each in test.get("promql_expr_test", ()):
            yield from re.findall(r'alertname="(\w+)"', " ".join(sample["labels"] for sample in each["exp_samples"]))


def _overlaps(one: dict[str, int], other: dict[str, int]) -> bool:
    across = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    return across and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]


def _sentences(annotations: dict[str, str]) -> Iterator[str]:
    yield annotations["summary"]
    yield annotations["description"]
