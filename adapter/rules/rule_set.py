"""All rules that are served, each name belonging to one of them."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from adapter.rules.faults import BadRules
from adapter.rules.file import RulesFile
from adapter.sources.rule import Rule


@dataclass(frozen=True, slots=True)
class RuleSet:
    """rules: in order, built-in ones first. by_name: every name and alias -> its rule."""

    rules: tuple[Rule, ...] = ()
    by_name: Mapping[str, Rule] = field(default_factory=lambda: MappingProxyType({}))

    def __len__(self) -> int:
        return len(self.rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)


def rule_set(rules: Iterable[Rule]) -> RuleSet:
    """Raises BadRules for each name that two rules have, or that differ in letter case only.

    client-go writes External names in lower case, so that such two could not be told apart.
    """
    kept = tuple(rules)
    holders: dict[str, tuple[str, Rule]] = {}
    faults: list[str] = []
    for rule in kept:
        for name in dict.fromkeys((rule.name, *rule.aliases)):
            spelled, holder = holders.setdefault(name.lower(), (name, rule))
            if holder is rule and spelled == name:
                continue
            faults.append(_conflict(rule, name, holder, spelled))
    if faults:
        raise BadRules("\n".join(faults))
    by_name = {name: rule for rule in kept for name in (rule.name, *rule.aliases)}
    return RuleSet(kept, MappingProxyType(by_name))


def overlay(built_in: Iterable[Rule], files: Iterable[RulesFile]) -> RuleSet:
    """The built-in rules with what the files say. Raises BadRules with every fault.

    A rule with `override: true` takes its name and aliases from the built-in rules that have them. Its name
    replaces the rule of that name, and leaves a rule that has it as an alias without it; an alias that is another
    rule's own name stays a conflict, because that rule would vanish unseen.
    """
    kept = {rule.name: rule for rule in built_in}
    files = tuple(files)
    users = [rule for file in files for rule in file.rules]
    overriding = [rule for file in files for rule in file.rules if rule.name in file.overriding]
    known = {*kept, *(rule.name for rule in users)}
    faults = [
        f"{one.at}: disable: was {one.name!r}, {_nearest(one.name, known)}"
        for file in files
        for one in file.disabled
        if one.name not in known
    ]
    disabled = {one.name for file in files for one in file.disabled}
    kept = {name: rule for name, rule in kept.items() if name not in disabled}
    taken = {rule.name for rule in overriding} | {alias for rule in overriding for alias in rule.aliases}
    held = {name for rule in kept.values() for name in (rule.name, *rule.aliases)} | disabled
    faults += [
        f"{rule.defined_at}: override: was true for {rule.name!r}, {_nearest(rule.name, held)}"
        for rule in overriding
        if held.isdisjoint((rule.name, *rule.aliases))
    ]
    replaced = {rule.name for rule in overriding}
    left = (
        replace(rule, aliases=tuple(alias for alias in rule.aliases if alias not in taken))
        for name, rule in kept.items()
        if name not in replaced
    )
    try:
        combined = rule_set((*left, *(rule for rule in users if rule.name not in disabled)))
    except BadRules as error:
        faults.append(str(error))
    if faults:
        raise BadRules("\n".join(faults))
    return combined


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return "must be the name of a rule; " + (f"did you mean {near[0]}?" if near else "remove it")


def _conflict(rule: Rule, name: str, holder: Rule, spelled: str) -> str:
    what = "name" if name == rule.name else "alias"
    if holder is rule:
        return (
            f"{rule.defined_at}: {what}: was {name!r} beside {spelled!r} of the same rule, must differ in more than "
            "letter case; remove one"
        )
    other = "that name" if spelled == name else f"{spelled!r}, which External metrics cannot tell from it"
    remedy = "give another name"
    if holder.defined_at == "built-in":
        takes = spelled == name and (name == rule.name or name != holder.name)
        remedy += ", or say override: true" if takes else f", or disable {holder.name}"
    return (
        f"{rule.defined_at}: {what}: was {name!r}, but rule {holder.name!r} ({holder.defined_at}) has {other}; {remedy}"
    )
