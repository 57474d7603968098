"""Loads the Lua transitions and runs them by their hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from redis.exceptions import NoScriptError

LUA_DIR = Path(__file__).parent / "lua"
# The order matters: each file uses what stands before it.
SHARED = ("base", "turns", "lanes", "pages", "jobs")


class ScriptRunner(Protocol):
    """What a script needs of a Redis client (plain, Sentinel or Cluster)."""

    async def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any: ...

    async def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Script:
    """One transition: `source` is its file behind the shared functions, `sha` names it."""

    name: str
    source: str
    sha: str

    async def run(self, redis: ScriptRunner, keys: list[str], args: list[Any]) -> Any:
        """Run the script atomically; sends the source when the server does not know it."""
        try:
            return await redis.evalsha(self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return await redis.eval(self.source, len(keys), *keys, *args)


@cache
def _shared_source() -> str:
    return "\n".join((LUA_DIR / "shared" / f"{name}.lua").read_text() for name in SHARED)


@cache
def load_script(name: str) -> Script:
    """The script `lua/<name>.lua`.

    The `#!lua` line must stay first: it makes the server refuse the whole script, not half of it,
    when memory is used up.
    """
    header, _, body = (LUA_DIR / f"{name}.lua").read_text().partition("\n")
    source = f"{header}\n{_shared_source()}\n{body}"
    return Script(name, source, hashlib.sha1(source.encode()).hexdigest())


def script_names() -> list[str]:
    """The names of all transitions, sorted."""
    return sorted(path.stem for path in LUA_DIR.glob("*.lua"))
