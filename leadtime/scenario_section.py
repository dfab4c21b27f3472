"""What every section of a scenario file has in common."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One mapping of the file. Nothing is coerced, and a key that is not known is an error.

    shorthand: what may stand in its place, for messages.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
    shorthand: ClassVar[str] = ""
