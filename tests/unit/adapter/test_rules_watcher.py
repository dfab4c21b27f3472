"""Files of rules read anew while the adapter runs."""

from pathlib import Path

import pytest

from adapter.rules.faults import BadRules
from adapter.rules.watcher import RulesWatcher, check
from adapter.sources.catalogue import RULES

HEAD = "apiVersion: adapter.leadtime.dev/v1alpha1\nkind: MetricRules\n"


def with_rule(name: str) -> str:
    return f"{HEAD}rules:\n- name: {name}\n  latest: {{series: m}}\n"


class ConfigMapFolder:
    """A folder as the kubelet mounts a ConfigMap: files link into ..data, which links to a folder with a date."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._version = 0
        path.mkdir()

    def write(self, files: dict[str, str]) -> None:
        self._version += 1
        version = self.path / f"..2026_11_21_{self._version}"
        version.mkdir()
        for name, text in files.items():
            (version / name).write_text(text, encoding="utf-8")
        new = self.path / "..data_tmp"
        new.symlink_to(version.name)
        new.rename(self.path / "..data")  # the kubelet's swap: both links change at once
        for link in self.path.iterdir():
            if not link.name.startswith(".."):
                link.unlink()
        for name in files:
            (self.path / name).symlink_to(Path("..data") / name)


@pytest.fixture
def folder(tmp_path: Path) -> ConfigMapFolder:
    return ConfigMapFolder(tmp_path / "rules")


def test_a_swapped_configmap_is_taken_over(folder: ConfigMapFolder) -> None:
    folder.write({"a.yaml": with_rule("one")})
    watcher = RulesWatcher([folder.path])
    assert "one" in watcher.read().by_name
    folder.write({"a.yaml": with_rule("two"), "b.yml": with_rule("three"), "notes.txt": "no rules"})
    assert {"two", "three"} <= watcher.read().by_name.keys()
    assert "one" not in watcher.read().by_name
    assert (watcher.generation, watcher.fault) == (2, None)


def test_the_same_object_is_given_until_something_changes(folder: ConfigMapFolder) -> None:
    folder.write({"a.yaml": with_rule("one")})
    watcher = RulesWatcher([folder.path])
    first = watcher.read()
    assert watcher.read() is first
    folder.write({"a.yaml": with_rule("one") + "# a remark\n"})
    assert watcher.read() is first
    assert watcher.generation == 1


def test_a_bad_change_keeps_the_last_good_rules_and_says_why_until_it_is_corrected(folder: ConfigMapFolder) -> None:
    folder.write({"a.yaml": with_rule("one")})
    watcher = RulesWatcher([folder.path])
    good = watcher.read()
    folder.write({"a.yaml": with_rule("a b"), "b.yaml": HEAD + "rulez: []\n"})
    for _ in range(2):
        assert watcher.read() is good
        assert watcher.fault is not None
        first, second = watcher.fault.splitlines()
        assert first.startswith(f"{folder.path}/a.yaml:4: rules[0].name: was 'a b', must be ")
        assert second == f"{folder.path}/b.yaml:3: rulez: was not expected, did you mean rules?"
    folder.write({"a.yaml": with_rule("one")})
    assert watcher.read() == good
    assert (watcher.fault, watcher.generation) == (None, 1)


def test_a_folder_that_goes_and_comes_back_is_a_fault_only_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(with_rule("one"), encoding="utf-8")
    watcher = RulesWatcher([file])
    good = watcher.read()
    file.rename(tmp_path / "b.yaml")
    assert watcher.read() is good
    assert watcher.fault is not None
    assert watcher.fault.startswith(f"{file}: was not readable (")
    (tmp_path / "b.yaml").rename(file)
    assert watcher.read() is good
    assert watcher.fault is None


def test_rules_that_never_were_good_are_refused(tmp_path: Path) -> None:
    watcher = RulesWatcher([tmp_path / "absent.yaml"])
    for _ in range(2):
        with pytest.raises(BadRules, match="was not readable"):
            watcher.read()


def test_an_empty_folder_leaves_the_built_in_rules(tmp_path: Path) -> None:
    assert check([tmp_path]).rules == RULES
    assert check([]).rules == RULES


def test_a_check_looks_at_every_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: [\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text(with_rule("fine"), encoding="utf-8")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "d.yaml").write_text(HEAD + "kind: x\n", encoding="utf-8")
    with pytest.raises(BadRules, match=r"c\.yaml|not readable"):
        check([tmp_path])
    (tmp_path / "c.yaml").unlink()
    with pytest.raises(BadRules) as caught:
        check([tmp_path])
    assert [line.partition(": ")[0].rpartition("/")[2] for line in str(caught.value).splitlines()] == [
        "a.yaml:2",
        "d.yaml:3",
    ]
