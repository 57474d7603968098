"""Annotations for numbers within bounds, which say what is allowed when one is out of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from annotated_types import Ge, GroupedMetadata, Le
from pydantic import BeforeValidator

from scraper.jobs.faults import fault_error, shown


@dataclass(frozen=True, slots=True)
class Whole(GroupedMetadata):
    """A whole number: `Annotated[int, Whole(1, 25)]`. 5.0 is one; "5" and true are none.

    `unit` is for the message; `reads_text` takes "5" too, as environment variables need.
    """

    low: int
    high: int
    unit: str = ""
    reads_text: bool = False

    def __iter__(self) -> Iterator[object]:
        yield BeforeValidator(self.check)
        yield Ge(self.low)
        yield Le(self.high)

    def check(self, value: object) -> int:
        number = value
        if type(value) is float and value.is_integer():
            number = int(value)
        elif self.reads_text and isinstance(value, str):
            number = _number(value, int)
        if type(number) is int and self.low <= number <= self.high:
            return number
        unit = f" of {self.unit}" if self.unit else ""
        hint = f"give a whole number{unit} from {self.low:,} to {self.high:,}"
        raise fault_error(f"is {shown(value)}", _unquoted(hint, value, self.reads_text))


@dataclass(frozen=True, slots=True)
class Real(GroupedMetadata):
    """A number: `Annotated[float, Real(0.1, 60, "s")]`. Otherwise as `Whole`; NaN is none."""

    low: float
    high: float
    unit: str = ""
    reads_text: bool = False

    def __iter__(self) -> Iterator[object]:
        yield BeforeValidator(self.check)
        yield Ge(self.low)
        yield Le(self.high)

    def check(self, value: object) -> float:
        is_text = self.reads_text and isinstance(value, str)
        number = _number(str(value), float) if is_text else value
        if type(number) in (int, float) and self.low <= number <= self.high:  # type: ignore[operator]
            return float(number)  # type: ignore[arg-type]
        unit = f" of {self.unit}" if self.unit else ""
        hint = f"give a number{unit} from {self.low:,} to {self.high:,}"
        raise fault_error(f"is {shown(value)}", _unquoted(hint, value, self.reads_text))


def _number(text: str, kind: type[int] | type[float]) -> int | float | None:
    try:
        return kind(text.strip())
    except ValueError:
        return None


def _unquoted(hint: str, value: object, reads_text: bool) -> str:
    return f"{hint}, without quotes" if isinstance(value, str) and not reads_text else hint
