"""Which page of the synthetic site links to which: every page can be reached from the first."""

import random

MENU_ENTRIES = 10
CHILDREN = 8
INTERNAL_LINKS = 38


def links_of(page: int, pages: int, chance: random.Random) -> list[int]:
    """The distinct pages that `page` links to: the menu, its children in a tree, and others."""
    targets = dict.fromkeys(range(min(MENU_ENTRIES, pages)))
    targets.update(dict.fromkeys(range(page * CHILDREN + 1, page * CHILDREN + CHILDREN + 1)))
    targets.pop(page, None)
    inside = [target for target in targets if target < pages]
    wanted = min(INTERNAL_LINKS, pages - 1)
    others = set(inside)
    while len(inside) < wanted:
        other = chance.randrange(pages)
        if other != page and other not in others:
            others.add(other)
            inside.append(other)
    return inside
