"""How a policy is listed: its name, its source, its parameters with units and defaults, its one tuning knob."""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from policies.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyEntry:
    """One line of `leadtime policies`.

    name: kebab-case, unique. summary: one line. source: upstream file and version that the rule restates.
    spec: frozen dataclass whose fields were made with `parameter`. knob: the field that is swept to draw its
    frontier. build: checks a spec (BadInput) and gives the policy.
    """

    name: str
    summary: str
    source: str
    spec: type[Any]
    knob: str
    build: Callable[[Any], Policy[Any, Any]]

    def __post_init__(self) -> None:
        assert self.knob in {each.name for each in fields(self.spec)}, f"{self.name}: no parameter {self.knob}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One field of a spec as people see it. default: None where it must be given."""

    name: str
    unit: str
    default: Any
    help: str


def parameter(unit: str, text: str, default: Any = MISSING, default_factory: Any = MISSING) -> Any:
    """A dataclass field that knows its unit and says what it is."""
    metadata = {"unit": unit, "help": text}
    if default_factory is not MISSING:
        return field(default_factory=default_factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def parameters(entry: PolicyEntry) -> tuple[Parameter, ...]:
    """The parameters of a policy, in the order of its spec; a field that was not made with `parameter` is none."""
    return tuple(
        Parameter(
            name=each.name,
            unit=each.metadata["unit"],
            default=_default(each),
            help=each.metadata["help"],
        )
        for each in fields(entry.spec)
        if "unit" in each.metadata
    )


def _default(each: Any) -> Any:
    if each.default_factory is not MISSING:
        return each.default_factory()
    return None if each.default is MISSING else each.default
