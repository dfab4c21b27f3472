"""The parent's end of the adapter process: start it, move its time, ask it to collect, end it."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Self

from adapter.settings import AdapterSettings
from policies.errors import BadInput


class AdapterEnded(RuntimeError):
    """The adapter process ended in the middle of the demo; holds what it last wrote to its log."""


class AdapterLink:
    """One running adapter process."""

    def __init__(self, process: asyncio.subprocess.Process, log_file: Path) -> None:
        self._process = process
        self._log_file = log_file
        self.port = 0

    @classmethod
    async def start(cls, settings: AdapterSettings, folder: Path) -> Self:
        """Start it and wait until it listens. Raises BadInput with its own words when a setting is wrong."""
        settings_file = folder / "adapter.json"
        settings_file.write_text(json.dumps(settings.model_dump(mode="json")), encoding="utf-8")
        log_file = folder / "adapter.log"
        with log_file.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "leadtime.demo.adapter_process",
                str(settings_file),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        link = cls(process, log_file)
        word, _, port = (await link._answer()).partition(" ")
        assert word == "listening"
        link.port = int(port)
        return link

    async def set_clock(self, now_ns: int) -> None:
        """Move the adapter's time."""
        await self._ask(f"clock {now_ns}")

    async def collect(self, now_ns: int) -> None:
        """Move its time and let it scrape every page; returns when the samples are in."""
        await self._ask(f"collect {now_ns}")

    async def close(self) -> None:
        """End it the way it expects: by the end of its input; by force when it does not listen."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), timeout=10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()
        except ConnectionError as error:
            raise AdapterEnded(self._last_words()) from error
        answer = await self._answer()
        assert answer == line, f"asked {line!r}, adapter answered {answer!r}"

    async def _answer(self) -> str:
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode().strip()
        if not line:
            code = await self._process.wait()
            if code == 2:
                raise BadInput(f"adapter: {self._last_words()}")
            raise AdapterEnded(f"exit code {code}: {self._last_words()}")
        return line

    def _last_words(self) -> str:
        lines = self._log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"
