"""The synthetic site: pages of about 20 KB with 40 links, the same for the same seed."""

import json
import random
from dataclasses import asdict
from pathlib import Path

from benchmarks.cache import cached
from benchmarks.errors import BenchmarkError
from benchmarks.sites.link_graph import links_of
from benchmarks.sites.page_html import IMAGES, JSON_LD, OPEN_GRAPH, PageFacts, page_html
from benchmarks.sites.site import Site, Tally
from benchmarks.sites.words import Prose

# Raise it when the pages change, so that an older cache is not taken for the new site.
VERSION = 1
SMALLEST = 50
# http://127.0.0.1:43210 is 22 characters; the whole URL has about 60.
_PATH_CHARS = 38
_EXTERNAL = [f"https://partner-{number:02d}.example.invalid/about" for number in range(12)]


def synthetic_site(pages: int = 5_000, seed: int = 1) -> Site:
    """The site of `pages` pages, generated at the first call and kept in the cache."""
    if pages < SMALLEST:
        raise BenchmarkError(f"the synthetic site has at least {SMALLEST} pages, not {pages}")
    folder = cached(
        f"sites/synthetic-v{VERSION}-seed{seed}-{pages}",
        lambda draft: _generate(draft, pages, seed),
    )
    facts = json.loads((folder / "facts.json").read_text())
    return Site(
        name=f"synthetic ({pages} pages)",
        folder=folder / "www",
        paths=(folder / "paths.txt").read_text().split(),
        tally=Tally(**facts["tally"]),
        mean_page_bytes=facts["bytes"] // pages,
        mean_links=(facts["tally"]["internal_links"] + facts["tally"]["external_links"]) / pages,
        duplicate_links=1 - pages / facts["tally"]["internal_links"],
    )


def _path(prose: Prose, number: int, seed: int) -> str:
    if number == 0:
        return "/"
    chance = random.Random(f"path {seed} {number}")
    section = prose.words[(number % 10) * 7]
    head, tail = f"/{section}/20{10 + number % 16}/", f"-{number:05d}.html"
    slug = prose.title(chance, 6).lower().replace(" ", "-")
    return head + slug[: _PATH_CHARS - len(head) - len(tail)].strip("-") + tail


def _generate(folder: Path, pages: int, seed: int) -> None:
    prose = Prose(seed)
    paths = [_path(prose, number, seed) for number in range(pages)]
    counts = dict.fromkeys(("internal_links", "external_links", "headings", "bytes"), 0)
    for number, path in enumerate(paths):
        chance = random.Random(f"page {seed} {number}")
        inside = links_of(number, pages, chance)
        outside = chance.sample(_EXTERNAL, 2)
        facts = PageFacts(number, path, [paths[target] for target in inside], outside)
        html, headings = page_html(facts, prose, chance)
        file = folder / "www" / (path.lstrip("/") or "index.html")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(html.encode())
        counts["internal_links"] += len(inside)
        counts["external_links"] += len(outside)
        counts["headings"] += headings
        counts["bytes"] += file.stat().st_size
    (folder / "paths.txt").write_text("\n".join(paths))
    facts_json = {"bytes": counts.pop("bytes"), "tally": asdict(_tally(pages, counts))}
    (folder / "facts.json").write_text(json.dumps(facts_json))


def _tally(pages: int, counts: dict[str, int]) -> Tally:
    return Tally(
        titles=pages,
        descriptions=pages,
        canonicals=pages,
        languages=pages,
        open_graph=pages * OPEN_GRAPH,
        images=pages * IMAGES,
        json_ld=pages * JSON_LD,
        **counts,
    )
