"""One metric of an exporter's page, in the text exposition format."""

from collections.abc import Sequence


def family(name: str, kind: str, text: str, samples: Sequence[tuple[str, float]]) -> list[str]:
    """HELP, TYPE and a line a sample. samples: (labels as within the braces, value)."""
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    return lines + [f"{name}{{{labels}}} {value}" for labels, value in samples]
