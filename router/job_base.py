"""What the models of the job file share: no unknown keys, and the types of their values."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from router.job_checks import is_number, not_secret

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False), BeforeValidator(is_number)]
OpenFraction = Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False), BeforeValidator(is_number)]
Name = Annotated[str, Field(min_length=1)]
Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False), BeforeValidator(is_number)]
Seconds = Annotated[float, Field(gt=0.0, allow_inf_nan=False), BeforeValidator(is_number)]
Count = Annotated[int, Field(gt=0), BeforeValidator(is_number)]
CountOrZero = Annotated[int, Field(ge=0), BeforeValidator(is_number)]
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(not_secret)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]
LanguageCode = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
NotEmpty = Field(min_length=1)


def is_none(value: object) -> bool:
    """Whether a key says nothing."""
    return value is None


LATER: Any = Field(default=None, exclude_if=is_none)
"""A key that came later: not written where it says nothing, so that digests of jobs stay what they were."""


class Strict(BaseModel):
    """A part of a job file: frozen, and an unknown key is an error."""

    # An input can hold a pasted key, so pydantic's own messages must not repeat it.
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )
