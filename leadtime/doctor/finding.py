"""What one check found."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """check: the group it belongs to. what: one sentence. remedy: "" for ok, and where the sentence ends with it."""

    level: Level
    check: str
    what: str
    remedy: str = ""


def ok(check: str, what: str) -> Finding:
    return Finding(level="ok", check=check, what=what)


def warn(check: str, what: str, remedy: str = "") -> Finding:
    return Finding(level="warn", check=check, what=what, remedy=remedy)


def fail(check: str, what: str, remedy: str = "") -> Finding:
    return Finding(level="fail", check=check, what=what, remedy=remedy)
