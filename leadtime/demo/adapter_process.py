"""The adapter's front door in the demo: the same `serve`, with virtual time in place of the clock and interval.

The parent writes lines to stdin; each is answered on stdout when it is done:

    clock 1700158546000000000      now is that instant
    collect 1700158561000000000    now is that instant: scrape every page once

The first line on stdout is `listening PORT`. The end of stdin is the end of the process, so that a parent that
dies leaves nothing behind.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from adapter.errors import BadInput
from adapter.server import serve
from adapter.settings import AdapterSettings


class VirtualClock:
    """Shows the instant that it was last given."""

    def __init__(self) -> None:
        self.instant_ns = 0

    def now_ns(self) -> int:
        return self.instant_ns


class PipeTrigger:
    """Turns the parent's lines into time and collections."""

    def __init__(self, lines: asyncio.StreamReader, clock: VirtualClock) -> None:
        self._lines = lines
        self._clock = clock

    async def __aiter__(self) -> AsyncIterator[None]:
        while line := (await self._lines.readline()).decode():
            verb, instant = line.split()
            self._clock.instant_ns = int(instant)
            if verb == "collect":
                yield
            _say(line.strip())


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _run(settings: AdapterSettings) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    clock = VirtualClock()
    await serve(
        settings,
        clock=clock,
        trigger=PipeTrigger(lines, clock),
        on_listening=lambda port: _say(f"listening {port}"),
    )


if __name__ == "__main__":
    try:
        asyncio.run(_run(AdapterSettings.model_validate(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
