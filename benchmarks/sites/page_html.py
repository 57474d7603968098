"""One page of the synthetic site: the head of a magazine's article, its menu, text and footer."""

import json
import random
from dataclasses import dataclass

from benchmarks.sites.words import Prose

IMAGES = 4
OPEN_GRAPH = 8
JSON_LD = 2
_SECTIONS = 6
_HOST = "https://www.example.invalid"


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page is and leads to; `inside` are paths, `outside` absolute URLs."""

    number: int
    path: str
    inside: list[str]
    outside: list[str]


def page_html(page: PageFacts, prose: Prose, chance: random.Random) -> tuple[str, int]:
    """The page and how many headings (h1 to h6) it has."""
    title = prose.title(chance)
    description = prose.sentences(chance, 2)
    body, headings = _body(page, title, prose, chance)
    html = (
        f'<!DOCTYPE html>\n<html lang="en" dir="ltr">\n<head>\n'
        f"{_head(page, title, description, prose, chance)}</head>\n{body}</html>\n"
    )
    return html, headings


def _head(
    page: PageFacts, title: str, description: str, prose: Prose, chance: random.Random
) -> str:
    url, image = _HOST + page.path, f"{_HOST}/media/{page.number}/cover.jpg"
    metas = {
        "description": description,
        "keywords": ", ".join(chance.choices(prose.words, k=8)),
        "author": prose.title(chance, 2),
        "robots": "index, follow, max-image-preview:large",
        "theme-color": "#1d3557",
        "twitter:card": "summary_large_image",
        "twitter:title": title,
        "twitter:description": description,
        "twitter:image": image,
    }
    graph = {
        "og:type": "article",
        "og:site_name": "The Example Magazine",
        "og:title": title,
        "og:description": description,
        "og:url": url,
        "og:image": image,
        "og:image:width": "1200",
        "og:locale": "en_GB",
    }
    lines = ['<meta charset="utf-8">', f"<title>{title} | The Example Magazine</title>"]
    lines += [f'<meta name="{name}" content="{value}">' for name, value in metas.items()]
    lines += [f'<meta property="{name}" content="{value}">' for name, value in graph.items()]
    lines += [f'<link rel="canonical" href="{page.path}">']
    lines += [
        f'<link rel="alternate" hreflang="{code}" href="{_HOST}/{code}{page.path}">'
        for code in ("de", "fr", "es")
    ]
    lines += [f'<link rel="stylesheet" href="/assets/{name}.css">' for name in ("base", "article")]
    lines += [
        f'<link rel="icon" sizes="{size}" href="/assets/i{size}.png">' for size in ("16", "32")
    ]
    lines += ['<script defer src="/assets/app.js"></script>']
    lines += [_json_ld(data) for data in _structured(page, title, description, image)]
    return "\n".join(lines) + "\n"


def _structured(
    page: PageFacts, title: str, description: str, image: str
) -> list[dict[str, object]]:
    crumbs = [
        {"@type": "ListItem", "position": at, "name": part, "item": f"{_HOST}/{part}"}
        for at, part in enumerate(page.path.strip("/").split("/"), start=1)
    ]
    article: dict[str, object] = {
        "@context": "https://schema.org",
        "@type": "Article",
        "headline": title,
        "description": description,
        "image": [image],
        "datePublished": "2024-03-09T10:00:00Z",
        "author": {"@type": "Person", "name": "A. Writer"},
    }
    return [
        article,
        {"@context": "https://schema.org", "@type": "BreadcrumbList", "itemListElement": crumbs},
    ]


def _json_ld(data: dict[str, object]) -> str:
    return f'<script type="application/ld+json">{json.dumps(data)}</script>'


def _anchor(path: str, prose: Prose, chance: random.Random) -> str:
    return f'<a class="link" href="{path}">{prose.title(chance, 3)}</a>'


def _body(page: PageFacts, title: str, prose: Prose, chance: random.Random) -> tuple[str, int]:
    menu, text, related = page.inside[:9], page.inside[9:21], page.inside[21:]
    items = "\n".join(f'<li class="menu-item">{_anchor(path, prose, chance)}</li>' for path in menu)
    more = "\n".join(
        f'<li class="card"><div class="card-body">{_anchor(path, prose, chance)}'
        f"<p>{prose.sentences(chance, 1)}</p></div></li>"
        for path in related
    )
    partners = " ".join(
        f'<a rel="nofollow noopener" href="{url}">{prose.title(chance, 2)}</a>'
        for url in page.outside
    )
    sections, headings = _sections(page, text, prose, chance)
    html = (
        f'<body class="article page-{page.number}">\n<header><nav><ul>\n{items}\n</ul></nav>'
        f"</header>\n<main><article>\n<h1>{title}</h1>\n{sections}</article></main>\n"
        f"<aside><h2>{prose.title(chance, 2)}</h2><ul>\n{more}\n</ul></aside>\n"
        f"<footer><p>{prose.sentences(chance, 2)} {partners}</p></footer>\n</body>\n"
    )
    return html, headings + 2


def _sections(
    page: PageFacts, text_links: list[str], prose: Prose, chance: random.Random
) -> tuple[str, int]:
    parts: list[str] = []
    headings = 0
    for section in range(_SECTIONS):
        parts.append(f'<section id="s{section}"><h2>{prose.title(chance, 4)}</h2>')
        headings += 1
        links = text_links[section::_SECTIONS]
        for path in links:
            before, after = prose.sentences(chance, 3), prose.sentences(chance, 2)
            parts.append(f"<p>{before} {_anchor(path, prose, chance)} {after}</p>")
        if section < IMAGES:
            parts.append(_figure(page, section, prose, chance))
        elif section == IMAGES:
            parts.append(_table(prose, chance))
        if chance.random() < 0.5:
            parts.append(f"<h3>{prose.title(chance, 3)}</h3>")
            headings += 1
        parts.append(f"<p>{prose.sentences(chance, 3)}</p></section>\n")
    return "\n".join(parts), headings


def _figure(page: PageFacts, at: int, prose: Prose, chance: random.Random) -> str:
    return (
        f'<figure><img src="/media/{page.number}/{at}.jpg" alt="{prose.title(chance, 4)}" '
        f'width="800" height="450" loading="lazy"><figcaption>{prose.sentences(chance, 1)}'
        "</figcaption></figure>"
    )


def _table(prose: Prose, chance: random.Random) -> str:
    rows = "".join(
        f"<tr><td>{prose.title(chance, 2)}</td><td>{chance.randint(1, 999)}</td></tr>"
        for _ in range(8)
    )
    return f'<table class="facts"><tbody>{rows}</tbody></table>'
