"""The shape of every part of a PredictiveAutoscaler: what adapter.sources.section.Section is, and what a CRD needs."""

from typing import Any, ClassVar, Self

from pydantic import ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from adapter.sources.section import Section
from autoscaler.crd.rule import BrokenRules, Rule


class CrdSection(Section):
    """One mapping of the object. As in the API server nothing is coerced: "5" is no number and 1 is not true.

    The text under each field is its `description` in the CRD and its row in docs/reference/predictiveautoscaler.md.
    rules: what must hold between fields.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, use_attribute_docstrings=True)
    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _keeps_its_rules(self) -> Self:
        faults = tuple((rule.field, rule.told(self)) for rule in self.rules if not rule.holds(self))
        if faults:
            raise BrokenRules(faults)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Adds the rules as CEL."""
        schema: dict[str, Any] = handler.resolve_ref_schema(handler(core_schema))
        if cls.rules:
            schema["x-kubernetes-validations"] = [rule.validation() for rule in cls.rules]
        return schema
