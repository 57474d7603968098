"""The microdata of a page, in the shape of JSON-LD (https://html.spec.whatwg.org/#microdata)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from selectolax.lexbor import LexborHTMLParser, LexborNode

from scraper.extraction import limits
from scraper.extraction.text import collapsed, encodable, raw_text
from scraper.extraction.urls import http_url

Item: TypeAlias = dict[str, object]

_SCHEMA_ORG: Final = ("https://schema.org/", "http://schema.org/", "http://www.schema.org/")
_MAX_REFERRING: Final = 8
_URL_ATTRIBUTES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("a", "area", "link"), "href"),
    **dict.fromkeys(("audio", "embed", "iframe", "img", "source", "track", "video"), "src"),
    "object": "data",
}


def read_microdata(tree: LexborHTMLParser, base_url: str, cuts: set[str]) -> list[Item]:
    """The items that are no property of another, in document order; adds 'microdata' to `cuts`.

    An item is {"@type": its type, without the prefix of schema.org (or a list of types), "@id",
    and each property: a text, an item, or a list of them where there are several}.
    """
    # Most pages have none: looking for the word costs less than a selector.
    if b"itemscope" not in tree.raw_html:
        return []
    reader = _Reader(base_url, cuts)
    scopes = tree.css("[itemscope]")
    if len(scopes) > limits.MAX_MICRODATA_ITEMS:
        cuts.add("microdata")
    for scope in scopes[: limits.MAX_MICRODATA_ITEMS]:
        reader.add_item(scope)
    properties = tree.css("[itemprop]")
    if len(properties) > limits.MAX_MICRODATA_PROPERTIES:
        cuts.add("microdata")
    for node in properties[: limits.MAX_MICRODATA_PROPERTIES]:
        reader.add_property(node)
    return reader.top_items()


@dataclass(slots=True)
class _Reader:
    """Finds the item of each property by climbing from it: no walk into depth, no recursion."""

    base_url: str
    cuts: set[str]
    items: dict[int, Item] = field(default_factory=dict)
    # By `itemref`: the id of an element elsewhere -> the items that its properties belong to.
    referring: dict[str, list[int]] = field(default_factory=dict)
    levels: dict[int, int] = field(default_factory=dict)
    inner: set[int] = field(default_factory=set)
    chars_left: int = limits.MAX_MICRODATA_TOTAL_CHARS

    def add_item(self, node: LexborNode) -> None:
        attributes = node.attributes
        item: Item = {}
        types = [_short_type(name) for name in (attributes.get("itemtype") or "").split()[:8]]
        if types:
            item["@type"] = types[0] if len(types) == 1 else types
        if item_id := attributes.get("itemid"):
            item["@id"] = encodable(item_id[: limits.MAX_URL_CHARS])
        self.items[node.mem_id] = item
        for name in (attributes.get("itemref") or "").split()[:32]:
            referring = self.referring.setdefault(name, [])
            if len(referring) < _MAX_REFERRING:
                referring.append(node.mem_id)

    def add_property(self, node: LexborNode) -> None:
        names = (node.attributes.get("itemprop") or "").split()[:8]
        owners = self._owners(node) if names else []
        if not owners:
            return
        value = self._value(node, owners)
        if value is None:
            return
        for owner in owners:
            for name in names:
                if not name.startswith("@"):
                    _add(self.items[owner], encodable(name[:200]), value)

    def top_items(self) -> list[Item]:
        return [item for key, item in self.items.items() if key not in self.inner and item]

    def _owners(self, node: LexborNode) -> list[int]:
        """The items that a property belongs to; none when it stands alone."""
        above: LexborNode | None = node
        while above is not None and above.is_element_node:
            if self.referring and (owners := self.referring.get(above.id or "")):
                return [owner for owner in owners if owner != node.mem_id]
            above = above.parent
            if above is not None and above.mem_id in self.items:
                return [above.mem_id]
        return []

    def _value(self, node: LexborNode, owners: list[int]) -> str | Item | None:
        item = self.items.get(node.mem_id)
        if item is None:
            return self._text_value(node)
        level = 1 + max(self.levels.get(owner, 0) for owner in owners)
        # An item belongs to what comes before it: by itemref it could come to contain itself.
        is_loop = bool(self.referring) and not self.inner_of(node).isdisjoint(owners)
        if level > limits.MAX_MICRODATA_DEPTH or is_loop or node.mem_id in self.inner:
            self.cuts.add("microdata")
            return None
        self.levels[node.mem_id] = level
        self.inner.add(node.mem_id)
        return item

    def inner_of(self, node: LexborNode) -> set[int]:
        """The items that are in the item of `node` by now, and itself."""
        found: set[int] = set()
        waiting: list[object] = [self.items[node.mem_id]]
        keys = {id(item): key for key, item in self.items.items()}
        while waiting:
            value = waiting.pop()
            if isinstance(value, list):
                waiting += value
            elif isinstance(value, dict):
                key = keys.get(id(value))
                if key is not None and key not in found:
                    found.add(key)
                    waiting += value.values()
        return found

    def _text_value(self, node: LexborNode) -> str | None:
        if self.chars_left <= 0:
            self.cuts.add("microdata")
            return None
        value = self._raw_value(node)
        text = encodable(collapsed(value, limits.MAX_MICRODATA_CHARS))
        # What was looked at counts, not what is kept: nested properties share their text.
        self.chars_left -= max(len(text), len(value) // 4)
        return text

    def _raw_value(self, node: LexborNode) -> str:
        tag, attributes = node.tag or "", node.attributes
        # On any element, as search engines read it; the standard has it on <meta> alone.
        if attributes.get("content") is not None:
            return attributes["content"] or ""
        if tag in _URL_ATTRIBUTES:
            written = attributes.get(_URL_ATTRIBUTES[tag]) or ""
            return (http_url(self.base_url, written) or written) if written else ""
        if tag in ("data", "meter") and "value" in attributes:
            return attributes["value"] or ""
        if tag == "time" and attributes.get("datetime"):
            return attributes["datetime"] or ""
        return raw_text(node)


def _short_type(name: str) -> str:
    for prefix in _SCHEMA_ORG:
        name = name.removeprefix(prefix)
    return encodable(name[:200])


def _add(item: Item, name: str, value: object) -> None:
    known = item.get(name)
    if known is None:
        item[name] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        item[name] = [known, value]
