"""What acting on one decision came to."""

from dataclasses import dataclass, field

from autoscaler.outcome import Acted, Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class ActResult:
    """findings: what people should know beside it, such as a conflict with its remedy."""

    acted: Acted = field(default_factory=Acted)
    findings: tuple[Finding, ...] = ()


NOTHING_DUE = ActResult()


def withheld(why: str, *findings: Finding) -> ActResult:
    return ActResult(acted=Acted(withheld=why), findings=findings)
