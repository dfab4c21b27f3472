"""Log lines as JSON objects on stderr, one a line, in the fields that Cloud Logging and Loki read."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from autoscaler.settings import LogLevel

_SILENT = ("apscheduler", "aiohttp.access")
"""Of these only what went wrong: the scheduler tells of every tick, the server of every probe."""


class JsonLines(logging.Formatter):
    """severity: as Cloud Logging names levels. What `extra` holds in `fields` stands beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info is not None:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def log_as_json(level: LogLevel, stream: TextIO | None = None) -> None:
    """From now on; stream: stderr."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.ERROR)
