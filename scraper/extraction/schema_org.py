"""Reads objects of schema.org, as JSON-LD and microdata give them. Nothing in them is certain."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

Item: TypeAlias = Mapping[str, object]

_PREFIXES: Final = ("https://schema.org/", "http://schema.org/", "schema:")
# Where the objects of a page hold others that say as much about it as they do.
_LEADING: Final = ("@graph", "mainEntity", "mainEntityOfPage")
_MAX_ITEMS: Final = 2_000


def types_of(item: Item) -> frozenset[str]:
    """The names of an item's types, without prefix: {'Product'}."""
    names = item.get("@type")
    if isinstance(names, str):
        return _type_set(names[:200])
    return frozenset(_short(name) for name in as_list(names)[:20] if isinstance(name, str))


@lru_cache(maxsize=256)
def _type_set(name: str) -> frozenset[str]:
    return frozenset((_short(name),))


def as_list(value: object) -> Sequence[object]:
    """A value that may be one or many, as many; None is none."""
    if isinstance(value, list):
        return value
    return () if value is None else (value,)


def items_in(value: object) -> Sequence[Item]:
    """The objects among one or many values."""
    return [item for item in as_list(value) if isinstance(item, dict)]


def text_of(value: object) -> str | None:
    """The first text in a value: its own, that of a number, the name of an object."""
    for one in as_list(value)[:20]:
        named = one.get("name") or one.get("@value") if isinstance(one, dict) else one
        text = _own_text(named[0] if isinstance(named, list) and named else named)
        if text:
            return text
    return None


def _own_text(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return str(value)
    return " ".join(value[:20_000].split()) if isinstance(value, str) else None


def leading_items(objects: Iterable[object]) -> list[Item]:
    """The objects that speak of the page: those given, and those in @graph and mainEntity.

    `{"@id": ...}` alone is replaced by the object of that id.
    """
    found: list[Item] = []
    waiting: list[Item] = [*items_in(list(objects))][::-1]
    seen: set[int] = set()
    while waiting and len(found) < _MAX_ITEMS:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        found.append(item)
        for name in _LEADING:
            if name in item:
                waiting += reversed(items_in(item[name]))
    references = [item for item in found if len(item) == 1 and "@id" in item]
    if not references:
        return found
    by_id = ids_of(found)
    named = [by_id.get(str(item.get("@id")), item) if len(item) == 1 else item for item in found]
    return list({id(item): item for item in named}.values())


def ids_of(items: Iterable[Item]) -> dict[str, Item]:
    """The objects with more than an id, by their @id."""
    return {
        key: item for item in items if isinstance(key := item.get("@id"), str) and len(item) > 1
    }


def _short(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name
