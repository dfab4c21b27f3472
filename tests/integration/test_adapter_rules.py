"""Files of rules that change while the adapter runs."""

from pathlib import Path

import pytest
from adapter_world import PODS, collected, configuration

RULES = """\
apiVersion: adapter.leadtime.dev/v1alpha1
kind: MetricRules
rules:
- {name: depth, latest: {series: depth}}
"""


async def test_rules_are_read_anew_and_a_wrong_file_leaves_the_last_good_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "rules" / "team.yaml"
    file.parent.mkdir()
    file.write_text(RULES)
    async with collected(tmp_path, configuration(tmp_path, rules=[str(file.parent)])) as adapter:
        adapter.pages.show("/0", "depth 4\nwidth 6\n")
        await adapter.collect()
        assert await adapter.values("depth") == {"vllm-0": "4000m"}

        file.write_text(RULES.replace("latest", "latset"))
        await adapter.collect(after_seconds=15)
        assert await adapter.values("depth") == {"vllm-0": "4000m"}
        assert await adapter.times("depth") == {"vllm-0": "22:13:35Z"}, "and is still collected"
        assert (await adapter.own_metrics())["leadtime_adapter_rules_usable"] == 0
        assert f"{file}:4: rules[0].latset: was not expected, did you mean latest?" in caplog.text

        file.write_text(RULES + "- {name: width, latest: {series: width}}\n")
        await adapter.collect(after_seconds=15)
        assert await adapter.values("width") == {"vllm-0": "6000m"}
        assert (await adapter.own_metrics())["leadtime_adapter_rules_usable"] == 1
        listed = await adapter.get_json("/apis/custom.metrics.k8s.io/v1beta2")
        assert "pods/width" in {one["name"] for one in listed["resources"]}

        file.write_text(RULES.replace("depth", "width"))
        await adapter.collect(after_seconds=15)
        assert (await adapter.refusal(f"{PODS}/*/depth"))[0] == 404
        assert await adapter.values("width") == {"vllm-0": "6000m"}


async def test_a_changed_rule_is_not_served_from_what_the_old_one_collected(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    async with collected(tmp_path, configuration(tmp_path, rules=[str(file)])) as adapter:
        adapter.pages.show("/0", "depth 4\nwidth 6\n")
        await adapter.collect()
        file.write_text(RULES.replace("series: depth", "series: width"))
        adapter.pages.answers.clear()
        await adapter.collect()
        code, _ = await adapter.refusal(f"{PODS}/*/depth")
        assert code == 503
