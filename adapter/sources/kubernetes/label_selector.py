"""A LabelSelector as objects write it: `matchLabels` and `matchExpressions`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class BadSelector(ValueError):
    """A selector that the API machinery would refuse: names the field, the value and what is allowed."""


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Selects by labels; without requirements, everything. requirements: (key, operator, values)."""

    requirements: tuple[tuple[str, str, frozenset[str]], ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """By the rules of apimachinery, pkg/labels/selector.go: a label that is missing is not in any set."""
        for key, operator, values in self.requirements:
            value = labels.get(key)
            if operator == "In":
                matched = value in values
            elif operator == "NotIn":
                matched = value not in values
            else:
                matched = (value is not None) == (operator == "Exists")
            if not matched:
                return False
        return True


def parse_selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    """A selector from its JSON. Raises BadSelector."""
    selector = selector or {}
    if unknown := set(selector) - {"matchLabels", "matchExpressions"}:
        raise BadSelector(f"selector: was {sorted(unknown)}, must hold matchLabels and matchExpressions; correct it")
    labels = [(key, "In", frozenset([value])) for key, value in (selector.get("matchLabels") or {}).items()]
    expressions = [_requirement(expression) for expression in selector.get("matchExpressions") or ()]
    return LabelSelector((*labels, *expressions))


def _requirement(expression: Mapping[str, Any]) -> tuple[str, str, frozenset[str]]:
    key, operator = expression.get("key"), expression.get("operator")
    values = frozenset(expression.get("values") or ())
    if not key or operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        raise BadSelector(
            f"matchExpressions: was {dict(expression)}, must have a key and an operator of In, NotIn, Exists, "
            "DoesNotExist; correct it"
        )
    if bool(values) != (operator in ("In", "NotIn")):
        raise BadSelector(f"matchExpressions.values: was {sorted(values)} with {operator}; In and NotIn need values")
    return str(key), str(operator), values
