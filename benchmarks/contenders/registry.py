"""All contenders, by mode, in the order in which they run."""

from collections.abc import Iterable

from benchmarks.contenders.bullmq_node import BullmqCheerio, BullmqSlim
from benchmarks.contenders.bullmq_python import BullmqPython
from benchmarks.contenders.contender import Contender
from benchmarks.contenders.ours import Ours, OursInMemory, OursTwice
from benchmarks.contenders.scrapy_plain import PlainScrapy, ScrapyWithOwnExtraction
from benchmarks.contenders.scrapy_redis_own import ScrapyRedis
from benchmarks.errors import BenchmarkError
from benchmarks.plan import Mode

ALL: tuple[type[Contender], ...] = (
    Ours,
    OursTwice,
    OursInMemory,
    PlainScrapy,
    ScrapyWithOwnExtraction,
    ScrapyRedis,
    BullmqSlim,
    BullmqCheerio,
    BullmqPython,
)

# What the others are compared with.
BASELINES = {
    Mode.FULL_CRAWL: PlainScrapy.name,
    Mode.SINGLE_PAGE: BullmqSlim.name,
    Mode.LATENCY: BullmqSlim.name,
    Mode.MEMORY: ScrapyRedis.name,
}


def names() -> list[str]:
    return [contender.name for contender in ALL]


def contenders(mode: Mode, wanted: Iterable[str] = ()) -> list[Contender]:
    """Those of `wanted` that know `mode`, or all that do. Raises BenchmarkError."""
    chosen = list(wanted)
    for name in chosen:
        if name not in names():
            raise BenchmarkError(f"no such contender: {name} (there are {', '.join(names())})")
    able = [contender for contender in ALL if mode in contender.modes]
    for name in chosen:
        if name not in {contender.name for contender in able}:
            raise BenchmarkError(f"{name} does not take part in {mode}")
    return [contender() for contender in able if not chosen or contender.name in chosen]
