"""Where compiled code is kept between runs, and the decorators that compile.

numba notices an edit only in the file of the function that it compiles, not in the functions that this one calls.
So the cache's folder is named after a hash of every source that is compiled: an edit anywhere is a new folder.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

_COMPILED = ("engine/*.py", "batching/*.py", "demand/*.py", "results/counting.py")
"""Below simulations/: everything that is compiled is here."""


def _folder() -> str:
    """Beside the sources where that can be written, as with .pyc files; else in the user's temporary folder."""
    simulations = Path(__file__).parent.parent
    sources = sorted(path for pattern in _COMPILED for path in simulations.glob(pattern))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    beside = Path(__file__).parent / "__pycache__"
    if os.access(beside if beside.exists() else beside.parent, os.W_OK):
        return str(beside / f"numba-{digest}")
    return str(Path(tempfile.gettempdir()) / f"leadtime-numba-{os.getuid()}-{digest}")


_FOLDER = os.environ.get("NUMBA_CACHE_DIR") or _folder()


def entry(function: Function) -> Function:
    """Compile what Python calls, and keep the result, with all that it calls, for later processes."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = _FOLDER
    try:
        jitted: Function = njit(cache=True, error_model="numpy", nogil=True)(function)
    finally:
        numba.config.CACHE_DIR = before
    return jitted


JIT_OPTIONS = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Of what only compiled code calls: no entry from Python is made."""


def part(function: Function) -> Function:
    """Compile what only compiled code calls: it is kept with its entry."""
    jitted: Function = njit(**JIT_OPTIONS)(function)
    return jitted
