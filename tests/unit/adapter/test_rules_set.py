"""Rules put together: built-in ones, and what files add, replace or switch off."""

import pytest

from adapter.rules.faults import BadRules
from adapter.rules.file import RulesFile, parse_rules
from adapter.rules.rule_set import overlay, rule_set
from adapter.sources.catalogue import RULES
from adapter.sources.rule import Latest, Rule


def rule(name: str, *aliases: str, at: str = "built-in") -> Rule:
    return Rule(name=name, aliases=aliases, value=Latest(("x",)), defined_at=at)


BUILT_IN = (rule("queue", "waiting"), rule("batch"))


def file(text: str, name: str = "r.yaml") -> RulesFile:
    return parse_rules(f"apiVersion: adapter.leadtime.dev/v1alpha1\nkind: MetricRules\n{text}", name)


def test_every_built_in_rule_is_found_by_its_name_and_aliases() -> None:
    rules = rule_set(RULES)
    assert rules.by_name["vllm:num_requests_waiting"] is rules.by_name["vllm_queue_size"]
    assert len(rules) == len(RULES) == len(list(rules))


def test_files_add_rules() -> None:
    rules = overlay(BUILT_IN, [file("rules: [{name: mine, latest: {series: m}}]")])
    assert [each.name for each in rules] == ["queue", "batch", "mine"]
    assert rules.by_name["mine"].defined_at == "r.yaml:3"


def test_a_rule_is_switched_off_by_its_name_with_its_aliases() -> None:
    rules = overlay(BUILT_IN, [file("disable: [queue]")])
    assert set(rules.by_name) == {"batch"}


def test_an_overriding_rule_replaces_the_rule_of_its_name() -> None:
    rules = overlay(BUILT_IN, [file("rules: [{name: queue, override: true, latest: {series: m}}]")])
    assert rules.by_name["queue"].value == Latest(("m",))
    assert "waiting" not in rules.by_name


def test_an_overriding_rule_takes_an_alias_and_leaves_the_rule_that_had_it() -> None:
    rules = overlay(BUILT_IN, [file("rules: [{name: waiting, override: true, latest: {series: m}}]")])
    assert rules.by_name["waiting"].value == Latest(("m",))
    assert rules.by_name["queue"].aliases == ()


def test_an_overriding_rule_of_a_new_name_takes_an_alias() -> None:
    text = "rules: [{name: mine, aliases: [waiting], override: true, latest: {series: m}}]"
    rules = overlay(BUILT_IN, [file(text)])
    assert rules.by_name["waiting"].name == "mine"
    assert rules.by_name["queue"].aliases == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            "rules:\n- name: queue\n  latest: {series: m}\n",
            "r.yaml:4: name: was 'queue', but rule 'queue' (built-in) has that name; give another name, or say "
            "override: true",
            id="a-name-that-is-taken",
        ),
        pytest.param(
            "rules:\n- name: mine\n  aliases: waiting\n  latest: {series: m}\n",
            "r.yaml:4: alias: was 'waiting', but rule 'queue' (built-in) has that name; give another name, or say "
            "override: true",
            id="an-alias-that-is-taken",
        ),
        pytest.param(
            "rules:\n- name: Queue\n  latest: {series: m}\n",
            "r.yaml:4: name: was 'Queue', but rule 'queue' (built-in) has 'queue', which External metrics cannot tell "
            "from it; give another name, or disable queue",
            id="a-name-that-differs-in-case-only",
        ),
        pytest.param(
            "rules:\n- name: mine\n  aliases: [Mine]\n  latest: {series: m}\n",
            "r.yaml:4: alias: was 'Mine' beside 'mine' of the same rule, must differ in more than letter case; "
            "remove one",
            id="an-alias-that-differs-from-its-name-in-case-only",
        ),
        pytest.param(
            "rules:\n- name: mine\n  aliases: [batch]\n  override: true\n  latest: {series: m}\n",
            "r.yaml:4: alias: was 'batch', but rule 'batch' (built-in) has that name; give another name, or disable "
            "batch",
            id="an-alias-never-removes-a-rule",
        ),
        pytest.param(
            "rules:\n- name: quexe\n  override: true\n  latest: {series: m}\n",
            "r.yaml:4: override: was true for 'quexe', must be the name of a rule; did you mean queue?",
            id="overriding-what-is-not-there",
        ),
        pytest.param(
            "disable:\n- batch\n- wating\n",
            "r.yaml:5: disable: was 'wating', must be the name of a rule; remove it",
            id="switching-off-what-is-not-there",
        ),
    ],
)
def test_conflicts_name_both_places(text: str, fault: str) -> None:
    with pytest.raises(BadRules) as caught:
        overlay(BUILT_IN, [file(text)])
    assert str(caught.value) == fault


def test_two_files_cannot_define_one_name() -> None:
    one = "rules: [{name: mine, latest: {series: m}}]"
    with pytest.raises(BadRules) as caught:
        overlay(BUILT_IN, [file(one, "a.yaml"), file(one, "b.yaml")])
    assert str(caught.value) == (
        "b.yaml:3: name: was 'mine', but rule 'mine' (a.yaml:3) has that name; give another name"
    )


def test_every_conflict_is_told() -> None:
    text = "rules:\n- name: queue\n  latest: {series: m}\n- name: batch\n  latest: {series: m}\n"
    with pytest.raises(BadRules) as caught:
        overlay(BUILT_IN, [file(text)])
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == ["r.yaml:4:", "r.yaml:6:"]
