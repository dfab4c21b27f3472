"""A page opened in a real browser without a window: what its scripts made of it."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: the page is not opened in a browser"
)


def dom_of(page: Path, *arguments: str) -> str:
    """The page after 8 s of its own time. A profile is written beside it. arguments: further ones of the browser."""
    return opened(page.as_uri(), page.with_name("profile"), *arguments).dom


@dataclass(frozen=True, slots=True)
class Opened:
    """A page that was open for 8 s of its own time. console: what it wrote there, errors and refusals among it."""

    dom: str
    console: tuple[str, ...]


def opened(url: str, profile: Path, *arguments: str) -> Opened:
    """The page of an address. profile: a folder of the browser's own. Blocks; a server needs a thread of its own."""
    assert CHROMIUM is not None
    done = subprocess.run(  # noqa: S603 - a browser on our own page
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            "--virtual-time-budget=8000",
            *arguments,
            "--dump-dom",
            url,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Opened(done.stdout, tuple(line for line in done.stderr.splitlines() if ":CONSOLE" in line))
