"""Sorts the elements of a page by what they are wanted for, in one walk."""

from collections.abc import Mapping
from enum import IntEnum, auto
from typing import Final, TypeAlias

from selectolax.lexbor import LexborHTMLParser, LexborNode


class Group(IntEnum):
    """What elements are wanted for; a tag name has one group. Integers: they are quick as keys."""

    TITLE = auto()
    BASE = auto()
    META = auto()
    LINK = auto()
    ANCHOR = auto()
    HEADING = auto()
    IMAGE = auto()
    SCRIPT = auto()
    INLINE = auto()
    INVISIBLE = auto()
    BOILERPLATE = auto()
    HEADER = auto()
    MAIN = auto()
    ARTICLE = auto()
    PREFORMATTED = auto()


Elements: TypeAlias = dict[Group, list[LexborNode]]


class ElementSorter:
    """Makes lists of a page's elements, one for each group that is asked for."""

    def __init__(self, tags: Mapping[Group, str], comments: Group | None = None) -> None:
        """`tags`: the tag names of each group, separated by blanks; comments may go with one."""
        self._groups = tuple(tags)
        self._places = {
            tag_id: place
            for place, group in enumerate(self._groups)
            for tag_id in map(_tag_id, tags[group].split())
        }
        if comments is not None:
            self._places[_comment_id()] = self._groups.index(comments)

    def sort(self, root: LexborNode) -> Elements:
        """The elements of each group below and including `root`, in document order."""
        lists: list[list[LexborNode]] = [[] for _ in self._groups]
        places = self._places
        for node in root.traverse():
            place = places.get(node.tag_id)
            if place is not None:
                lists[place].append(node)
        return dict(zip(self._groups, lists, strict=True))


def _tag_id(name: str) -> int:
    return LexborHTMLParser("").create_node(name).tag_id


def _comment_id() -> int:
    root = LexborHTMLParser("<!DOCTYPE html><html><!---->").root
    comment = root.first_child if root else None
    while comment is not None and not comment.is_comment_node:
        comment = comment.next
    if comment is None:
        raise RuntimeError("Lexbor made no node of a comment")
    return comment.tag_id


# What every profile needs.
LINKS_SORTER: Final = ElementSorter(
    _LINKS_TAGS := {
        Group.TITLE: "title",
        Group.BASE: "base",
        Group.META: "meta",
        Group.LINK: "link",
        Group.ANCHOR: "a area",
        Group.HEADING: "h1 h2 h3 h4 h5 h6",
    }
)
# What is in no group separates paragraphs; elements of unknown names too: they are components.
FULL_SORTER: Final = ElementSorter(
    _LINKS_TAGS
    | {
        Group.IMAGE: "img",
        Group.SCRIPT: "script",
        Group.INLINE: """
            abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr
            output q rb rt ruby s samp small span strike strong sub sup time tt u var wbr
            math mfrac mi mn mo mover mroot mrow ms mspace msqrt mstyle msub msubsup msup mtext
            munder munderover semantics""",
        Group.INVISIBLE: """
            annotation applet audio button canvas datalist dialog embed iframe input map meter
            noembed noframes noscript object progress rp select source style svg template textarea
            track video""",
        Group.BOILERPLATE: "aside footer nav",
        Group.HEADER: "header",
        Group.MAIN: "main",
        Group.ARTICLE: "article",
        Group.PREFORMATTED: "pre",
    },
    # A comment would split the paragraph that it is in.
    comments=Group.INVISIBLE,
)
