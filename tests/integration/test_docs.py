"""What the documentation says is there: links lead somewhere, commands and make targets exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page for page in ROOT.rglob("*.md") if not {".venv", ".git", "node_modules"} & set(page.relative_to(ROOT).parts)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    text = re.sub(r"`[^`\n]+`", "code", page.read_text(encoding="utf-8"))  # a pattern may look like a link
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_every_file_that_the_architecture_names_in_a_row_is_a_link() -> None:
    """The way of one metric is seventeen steps, one file each."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    steps = re.findall(r"^\| (\d+) \| .* \| \[([^\]]+)\]\(([^)]+)\) \|$", text, re.MULTILINE)
    assert [int(number) for number, _, _ in steps] == list(range(1, 18))
    assert len({name for _, name, _ in steps}) == 17
    assert all(target == f"../{name}" for _, name, target in steps)


def test_the_readmes_commands_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for verb in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{verb}:", makefile, re.MULTILINE), f"make {verb}"
    commands = {
        tuple(word for word in line.split("#")[0].split()[1:3] if re.fullmatch(r"[a-z]+", word))
        for line in re.findall(r"^\.venv/bin/(leadtime .*)$", text, re.MULTILINE)
    }
    assert commands
    for words in sorted(commands):
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "leadtime", *words, "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"leadtime {' '.join(words)}: {done.stderr}"
