"""A page opened in a real browser without a window: what its scripts made of it."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: the page is not opened in a browser"
)


def dom_of(page: Path, *arguments: str) -> str:
    """The page after 8 s of its own time. A profile is written beside it. arguments: further ones of the browser."""
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
            f"--user-data-dir={page.with_name('profile')}",
            "--virtual-time-budget=8000",
            *arguments,
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
