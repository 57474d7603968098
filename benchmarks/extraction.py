"""`python -m benchmarks extraction`: the quality of extraction beside the best libraries.

Pages and references are two public sets (MIT): scrapinghub's article-extraction-benchmark (181 news
articles) and product-extraction-benchmark (140 pages of shops), cloned into the cache.
"""

import argparse
import gzip
import hashlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.cache import cached
from benchmarks.errors import BenchmarkError
from scraper.extraction import Extras, ParsedPage, Profile, parse_page

_SETS = {
    "articles": ("article-extraction-benchmark", ".", "html"),
    "products": ("product-extraction-benchmark", "dataset", "html"),
}
_PEERS = Path(__file__).parent / "workers" / "extraction_peers.py"
_REQUIREMENTS = Path(__file__).parent / "workers" / "requirements-extraction.txt"
_SOLD_OUT = ("outofstock", "soldout", "discontinued", "out of stock", "oos")
_FIELDS = ("price", "sku", "availability", "brand", "gtin")
_WORDS = re.compile(r"\w+")
_SHINGLE = 4

Counts = tuple[float, float, float]


def main(arguments: Sequence[str]) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks extraction", description=__doc__)
    for kind, (name, _, _) in _SETS.items():
        parser.add_argument(f"--{kind}", type=Path, help=f"a checkout of {name}")
    chosen = parser.parse_args(arguments)
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:12]
    python = cached(f"extraction-peers/{digest}", _install) / "bin" / "python"
    for kind in _SETS:
        folder, truth = _reference(kind, getattr(chosen, kind))
        pages = [
            {"id": key, "url": value["url"], "file": str(folder / f"{key}.html.gz")}
            for key, value in sorted(truth.items())
        ]
        outputs = _ours(kind, pages) | _peers(python, kind, pages)
        print(f"\n{kind}: {len(pages)} pages")
        (_print_articles if kind == "articles" else _print_products)(truth, outputs)
    return 0


def _reference(kind: str, given: Path | None) -> tuple[Path, dict[str, Any]]:
    name, inner, pages = _SETS[kind]
    root = given or cached(name, lambda draft: _clone(name, draft))
    truth = json.loads((root / inner / "ground-truth.json").read_text())
    return root / inner / pages, truth


def _clone(name: str, folder: Path) -> None:
    address = f"https://github.com/scrapinghub/{name}"
    done = subprocess.run(
        ["git", "clone", "--quiet", "--depth", "1", address, str(folder / "clone")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BenchmarkError(
            f"git clone {address} failed: {done.stderr.strip()}; "
            "clone it elsewhere and name its folder by --articles or --products"
        )
    for path in (folder / "clone").iterdir():
        path.rename(folder / path.name)


def _install(folder: Path) -> None:
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--upgrade", "pip"], check=True)
    subprocess.run([*pip, "-r", str(_REQUIREMENTS)], check=True)


def _peers(python: Path, kind: str, pages: list[dict[str, str]]) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(pages, file)
        file.flush()
        done = subprocess.run(
            [python, _PEERS, kind, file.name], stdout=subprocess.PIPE, text=True, check=True
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _ours(kind: str, pages: list[dict[str, str]]) -> dict[str, Any]:
    if kind == "products":
        product = Extras(product=True)
        return {
            "ours": _run(pages, product, lambda page: page.extras["product"]),
        }
    content = Extras(main_content=True)
    return {
        "ours, text of usual records": _run(pages, Extras(), lambda page: page.text),
        "ours, text with aiOptimization": _run(pages, content, lambda page: page.text),
        "ours, markdown": _run(pages, content, lambda page: _plain(str(page.extras["markdown"]))),
    }


def _run(
    pages: Iterable[Mapping[str, str]], extras: Extras, read: Callable[[ParsedPage], Any]
) -> dict[str, Any]:
    output, cpu_s = {}, 0.0
    for page in pages:
        body = gzip.decompress(Path(page["file"]).read_bytes())
        started = time.process_time()
        parsed = parse_page(
            body, page["url"], content_type=None, profile=Profile.FULL, extras=extras
        )
        cpu_s += time.process_time() - started
        output[page["id"]] = read(parsed)
    return {"output": output, "cpu_s": cpu_s}


def _plain(markdown: str) -> str:
    """Markdown as its reader sees it; without the title, which the references leave out, too."""
    markdown = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", markdown)
    markdown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return re.sub(r"(?m)^# .*$", "", markdown)


def _print_articles(truth: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    """Precision and recall of runs of four words, as the benchmark itself counts them."""
    print(f"{'':34}{'F1':>7}{'precision':>11}{'recall':>8}{'ms a page':>11}")
    for name, run in outputs.items():
        counts = [
            shingle_counts(truth[key]["articleBody"], run["output"][key] or "") for key in truth
        ]
        precision = statistics.mean(tp / (tp + fp) for tp, fp, _ in counts if tp + fp)
        recall = statistics.mean(tp / (tp + fn) for tp, _, fn in counts if tp + fn)
        score = 2 * precision * recall / (precision + recall)
        ms = run["cpu_s"] / len(truth) * 1_000
        print(f"{name:34}{score:7.3f}{precision:11.3f}{recall:8.3f}{ms:11.1f}")


def shingle_counts(true: str, found: str) -> Counts:
    """Shared, surplus and missing runs of four words, each divided by all of them."""
    wanted, got = _shingles(true), _shingles(found)
    shared = sum((wanted & got).values())
    surplus, missing = sum(got.values()) - shared, sum(wanted.values()) - shared
    total = shared + surplus + missing
    return (shared / total, surplus / total, missing / total) if total else (0.0, 0.0, 0.0)


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    words = _WORDS.findall(text)
    runs = range(max(1, len(words) - _SHINGLE + 1)) if words else ()
    return Counter(tuple(words[start : start + _SHINGLE]) for start in runs)


def _print_products(truth: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    print(f"{'F1 (precision, recall)':26}" + "".join(f"{name:>22}" for name in _FIELDS) + "  ms")
    for name, run in outputs.items():
        cells = [_score(truth, run["output"], field) for field in _FIELDS]
        ms = run["cpu_s"] / len(truth) * 1_000
        print(f"{name:26}" + "".join(f"{cell:>22}" for cell in cells) + f"{ms:6.1f}")
    print("pages with it: " + ", ".join(
        f"{field} {sum(bool(value.get(field)) for value in truth.values())}" for field in _FIELDS
    ))  # fmt: skip


def _score(truth: Mapping[str, Any], output: Mapping[str, Any], field: str) -> str:
    hits = surplus = missing = 0
    for key, value in truth.items():
        wanted: list[str] = value.get(field, [])
        got = (output[key] or {}).get(field)
        if field == "availability":
            # As the benchmark has it: what does not say that it is sold out can be bought.
            words = str(got or "").lower()
            got = "OutOfStock" if words.rstrip("/").endswith(_SOLD_OUT) else "InStock"
        is_hit = got is not None and any(is_same(field, one, got) for one in wanted)
        hits += is_hit
        surplus += got is not None and not is_hit
        missing += bool(wanted) and not is_hit
    precision = hits / (hits + surplus) if hits else 0.0
    recall = hits / (hits + missing) if hits else 0.0
    score = 2 * precision * recall / (precision + recall) if hits else 0.0
    return f"{score:.3f} ({precision:.2f}, {recall:.2f})"


def is_same(field: str, wanted: str, got: object) -> bool:
    """Whether a value is the one wanted: prices as numbers, brands in any case."""
    if field == "price":
        return Decimal(wanted.strip()) == Decimal(str(got))
    if field == "brand":
        return wanted.casefold().strip() == str(got).casefold()
    if field == "gtin":
        return wanted.lstrip("0") == str(got).lstrip("0")
    return wanted == str(got)
