"""Files of rules on disk, read anew: a ConfigMap's folder changes while the adapter runs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from adapter.rules.faults import BadRules
from adapter.rules.file import RulesFile, parse_rules
from adapter.rules.rule_set import RuleSet, overlay
from adapter.sources.catalogue import RULES
from adapter.sources.rule import Rule

MAX_FILES = 1000


class RulesWatcher:
    """The rules of files and folders, kept good.

    fault: why the last reading was refused, one line for each fault; None while it is good. generation: counts the
    changes that were taken over, from 1.
    """

    def __init__(self, paths: Iterable[Path], built_in: Sequence[Rule] = RULES) -> None:
        self.fault: str | None = None
        self.generation = 0
        self._paths = tuple(paths)
        self._built_in = tuple(built_in)
        self._read: Mapping[str, str] | None = None
        self._good: RuleSet | None = None

    def read(self) -> RuleSet:
        """The newest rules that can be used: the same object until a file's content changes.

        The contents are compared, not times: a ConfigMap's update swaps the link `..data` between folders.
        Raises BadRules only while there never were any.
        """
        read, self._read = self._read, None
        try:
            self._read = _texts(self._paths)
            if self._good is not None and self._read == read:
                return self._good
            good = _parse(self._read, self._built_in)
        except BadRules as error:
            self.fault = str(error)
            if self._good is None:
                raise
            return self._good
        self.fault = None
        if self._good is None or good != self._good:
            self._good = good
            self.generation += 1
        return self._good


def check(paths: Iterable[Path], built_in: Sequence[Rule] = RULES) -> RuleSet:
    """Read files and folders once. Raises BadRules with the first fault of every file that has one."""
    return _parse(_texts(tuple(paths)), built_in)


def _parse(texts: Mapping[str, str], built_in: Sequence[Rule]) -> RuleSet:
    files: list[RulesFile] = []
    faults: list[str] = []
    for name, text in texts.items():
        try:
            files.append(parse_rules(text, name))
        except BadRules as error:
            faults.append(str(error))
    if faults:
        raise BadRules("\n".join(faults))
    return overlay(built_in, files)


def _texts(paths: Iterable[Path]) -> dict[str, str]:
    """Path -> content, of files as given and of folders' *.yaml and *.yml. Raises BadRules with every fault."""
    texts: dict[str, str] = {}
    faults: list[str] = []
    for path in paths:
        try:
            for file in _files(path):
                texts[str(file)] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{path}: was not readable ({error}), must be a UTF-8 file or a folder of them; correct it")
    if len(texts) > MAX_FILES:
        faults.append(f"rules: was {len(texts)} files, must be at most {MAX_FILES}; remove some")
    if faults:
        raise BadRules("\n".join(faults))
    return texts


def _files(path: Path) -> list[Path]:
    """Names that begin with a dot are Kubernetes' own links (`..data`)."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and not file.name.startswith("."))
