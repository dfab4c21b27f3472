"""A label selector as text, as `kubectl -l` and a scale's status.selector have it: `app=vllm,tier in (a, b),!canary`.

Source: k8s.io/apimachinery pkg/labels/selector.go (Parse), v1.36.3. Of its grammar `>` and `<` are left out: a
workload's LabelSelector has no such operators.
"""

import re

from adapter.sources.kubernetes.label_selector import BadSelector, LabelSelector

_KEY = r"(?:[A-Za-z0-9.-]+/)?[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VALUE = r"[A-Za-z0-9._-]*"
_REQUIREMENT = re.compile(
    rf"\s*(?:!\s*(?P<absent>{_KEY})"
    rf"|(?P<of_set>{_KEY})\s+(?P<set>in|notin)\s*\((?P<values>\s*{_VALUE}\s*(?:,\s*{_VALUE}\s*)*)\)"
    rf"|(?P<of_value>{_KEY})\s*(?P<operator>==|!=|=)\s*(?P<value>{_VALUE})"
    rf"|(?P<present>{_KEY}))\s*(?:,|$)"
)


def parse_selector_text(text: str) -> LabelSelector:
    """Raises BadSelector. An empty text selects everything."""
    requirements: list[tuple[str, str, frozenset[str]]] = []
    at = 0
    while at < len(text.rstrip()):
        found = _REQUIREMENT.match(text, at)
        if found is None or (found.end() == len(text) and text.rstrip().endswith(",")):
            raise BadSelector(
                f"selector: was {text!r}, must be requirements such as app=vllm, tier in (a, b) or !canary, joined by "
                "commas; correct status.selector"
            )
        at = found.end()
        requirements.append(_requirement(found))
    return LabelSelector(tuple(requirements))


def _requirement(found: re.Match[str]) -> tuple[str, str, frozenset[str]]:
    if found["absent"]:
        return found["absent"], "DoesNotExist", frozenset()
    if found["of_set"]:
        values = frozenset(value.strip() for value in found["values"].split(","))
        return found["of_set"], "In" if found["set"] == "in" else "NotIn", values
    if found["of_value"]:
        return found["of_value"], "NotIn" if found["operator"] == "!=" else "In", frozenset([found["value"]])
    return found["present"], "Exists", frozenset()
