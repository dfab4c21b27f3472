"""The adapter as a process of its own: `leadtime adapter serve --config FILE`, in real time."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapter_world import Configuration

_START_SECONDS = 30.0
_END_SECONDS = 15.0


@dataclass
class AdapterProcess:
    """port: where it listens. log: its standard error, as a file."""

    process: asyncio.subprocess.Process
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

    async def end(self) -> int:
        """Ask it to end (SIGTERM); its exit code."""
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), _END_SECONDS)


@asynccontextmanager
async def adapter_process(folder: Path, document: Configuration) -> AsyncIterator[AdapterProcess]:
    """It listens when this is entered; it is killed at the end if it did not end by itself."""
    file, log = folder / "adapter.yaml", folder / "adapter.log"
    file.write_text(json.dumps(document))
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "adapter", "serve", "--config", str(file)),
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), _START_SECONDS)).decode()
        assert line.startswith("leadtime adapter: listening on https://127.0.0.1:"), line + log.read_text()
        yield AdapterProcess(process, int(line.rsplit(":", 1)[1]), log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
