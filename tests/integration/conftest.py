"""Lets the tests of this folder import the modules beside them, and the fakes of the adapter's unit tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "adapter"))
