"""Frozen records as the JSON that users see, and back."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel

T = TypeVar("T")


def public_name(field: str) -> str:
    """`is_paused` is `paused`, `latency_ms` is `latencyMs`."""
    return to_camel(field.removeprefix("is_"))


# A record of ours names it `__pydantic_config__`; fields of newer versions are left out.
PUBLIC = ConfigDict(alias_generator=public_name, populate_by_name=True)


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(record: type[Any]) -> TypeAdapter[Any]:
    if record not in _adapters:
        _adapters[record] = TypeAdapter(record)
    return _adapters[record]


def to_public(record: Any) -> dict[str, Any]:
    """Plain JSON values under camelCase names."""
    shown: dict[str, Any] = _adapter(type(record)).dump_python(record, mode="json", by_alias=True)
    return shown


def from_public(kind: type[T], shown: object) -> T:
    """The record again. Raises pydantic's ValidationError."""
    record: T = _adapter(kind).validate_python(shown)
    return record
