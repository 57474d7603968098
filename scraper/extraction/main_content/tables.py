"""The tables of a page as data."""

from typing import Final, TypedDict

from selectolax.lexbor import LexborNode

from scraper.extraction import limits
from scraper.extraction.text import collapsed, encodable

_ROWS: Final = frozenset(("tr",))
_CELLS: Final = frozenset(("td", "th"))
_MAX_SPAN: Final = 50


class Table(TypedDict):
    """A table: `header` is its first row where that has <th> only, else []; cells are texts.

    A cell that spans several columns or rows is repeated in each.
    """

    caption: str | None
    header: list[str]
    rows: list[list[str]]


def read_tables(root: LexborNode, cuts: set[str]) -> list[Table]:
    """The tables with two rows and two columns or more that hold no other table (those are made for
    the layout); adds 'tables' to `cuts`.
    """
    tables: list[Table] = []
    chars_left = limits.MAX_TABLES_TOTAL_CHARS
    for node in root.css("table:not(:has(table))"):
        if len(tables) == limits.MAX_TABLES or chars_left <= 0:
            cuts.add("tables")
            break
        table, chars = _read_table(node, chars_left, cuts)
        chars_left -= chars
        if len(table["rows"]) + bool(table["header"]) > 1 and _width(table) > 1:
            tables.append(table)
    return tables


def _width(table: Table) -> int:
    return max((len(row) for row in [table["header"], *table["rows"]]), default=0)


def _read_table(node: LexborNode, chars_left: int, cuts: set[str]) -> tuple[Table, int]:
    caption = node.css_first("caption")
    rows: list[list[str]] = []
    header: list[str] = []
    carried: dict[int, tuple[str, int]] = {}
    chars = 0
    for row in node.css("tr"):
        if len(rows) == limits.MAX_TABLE_ROWS or chars > chars_left:
            cuts.add("tables")
            break
        cells, is_head = _read_row(row, carried, cuts)
        chars += sum(map(len, cells))
        if not cells:
            continue
        if is_head and not rows and not header:
            header = cells
        else:
            rows.append(cells)
    found = collapsed(caption.text(), limits.MAX_CELL_CHARS) if caption else ""
    return {"caption": encodable(found) or None, "header": header, "rows": rows}, chars


def _read_row(
    row: LexborNode, carried: dict[int, tuple[str, int]], cuts: set[str]
) -> tuple[list[str], bool]:
    """The cells of a row with those that reach into it from above (`carried`, by column)."""
    cells: list[str] = []
    is_head = True
    for cell in row.iter():
        if cell.tag not in _CELLS:
            continue
        _take_carried(cells, carried)
        if len(cells) >= limits.MAX_TABLE_COLUMNS:
            cuts.add("tables")
            break
        is_head &= cell.tag == "th"
        attributes = cell.attributes
        text = encodable(collapsed(cell.text(separator=" "), limits.MAX_CELL_CHARS))
        for _ in range(_span(attributes.get("colspan"))):
            if (reach := _span(attributes.get("rowspan"))) > 1:
                carried[len(cells)] = (text, reach - 1)
            cells.append(text)
    _take_carried(cells, carried)
    return cells[: limits.MAX_TABLE_COLUMNS], is_head


def _take_carried(cells: list[str], carried: dict[int, tuple[str, int]]) -> None:
    while (held := carried.get(len(cells))) is not None:
        text, reach = held
        if reach > 1:
            carried[len(cells)] = (text, reach - 1)
        else:
            del carried[len(cells)]
        cells.append(text)


def _span(value: str | None) -> int:
    return min(int(value), _MAX_SPAN) if value and value.isdecimal() and len(value) < 4 else 1
