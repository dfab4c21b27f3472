"""The shape of every part of the configuration that people type: camelCase keys, nothing unknown, immutable."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Section(BaseModel):
    """One section of the configuration file. Fields are snake_case here and camelCase in YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)
