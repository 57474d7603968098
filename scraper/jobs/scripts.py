"""Loads the Lua transitions as one library of server functions and calls them by name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from redis.exceptions import ResponseError

LUA_DIR = Path(__file__).parent / "lua"
# The order matters: each file uses what stands before it.
SHARED = ("base", "records", "turns", "lanes", "pages", "jobs")
HEADER = "#!lua"
UNKNOWN = "Function not found"


class ScriptRunner(Protocol):
    """What the transitions need of a Redis client (plain, Sentinel or Cluster)."""

    def fcall(self, function: str, numkeys: int, *keys_and_args: Any) -> Any: ...

    def function_load(self, code: str, replace: bool | None = False) -> Any: ...


@dataclass(frozen=True, slots=True)
class Library:
    """All transitions. `version` is a hash of the source and part of each function's name, so that
    two versions of this project can share a server.
    """

    version: str
    source: str

    async def run(self, redis: ScriptRunner, name: str, keys: list[str], args: list[Any]) -> Any:
        """Run a transition atomically; loads the library where the server does not know it."""
        function = f"{name}_{self.version}"
        try:
            return await redis.fcall(function, len(keys), *keys, *args)
        except ResponseError as error:
            if UNKNOWN not in str(error):
                raise
        await redis.function_load(self.source, replace=True)
        return await redis.fcall(function, len(keys), *keys, *args)


def _function(name: str, version: str) -> str:
    """The transition `lua/<name>.lua` as a function of the library.

    Without `allow-oom` in its first line the server refuses the whole call, not half of it, when
    memory is used up.
    """
    header, _, body = (LUA_DIR / f"{name}.lua").read_text().partition("\n")
    flags = header.removeprefix(HEADER).strip().removeprefix("flags=")
    quoted = ", ".join(f"'{flag}'" for flag in flags.split(",") if flag)
    return (
        f"redis.register_function{{function_name = '{name}_{version}', flags = {{{quoted}}},\n"
        f"callback = function(keys, args)\nbegin(keys, args)\n{body}\nend}}\n"
    )


@cache
def load_library() -> Library:
    """The library of this version of the project."""
    shared = "\n".join((LUA_DIR / "shared" / f"{name}.lua").read_text() for name in SHARED)
    files = "".join((LUA_DIR / f"{name}.lua").read_text() for name in script_names())
    version = hashlib.sha256((shared + files).encode()).hexdigest()[:12]
    functions = "\n".join(_function(name, version) for name in script_names())
    source = f"{HEADER} name=scraper_workers_{version}\n{shared}\n{functions}"
    return Library(version, source)


def script_names() -> list[str]:
    """The names of all transitions, sorted."""
    return sorted(path.stem for path in LUA_DIR.glob("*.lua"))
