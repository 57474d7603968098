"""Loads the Lua transitions as one library of server functions and calls them by name."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from redis.exceptions import ResponseError

from scraper.jobs.durability import ReplicaAcknowledgement
from scraper.jobs.errors import JobsError

# Not a path: the project may be in an egg, which is a ZIP file (scrapyd).
LUA = files("scraper.jobs").joinpath("lua")
# The order matters: each file uses what stands before it.
SHARED = (
    "base", "clock", "records", "turns", "crowds", "lanes", "pages", "hooks", "jobs", "pace",
    "shapes",
)  # fmt: skip
HEADER = "#!lua"
UNKNOWN = "Function not found"
REFUSALS = ("NOPERM", "no permissions", "unknown command", "not allowed")


class FunctionsRefusedError(JobsError):
    """The server takes no functions from us."""

    def __init__(self, answer: str) -> None:
        super().__init__(
            f"Redis refuses FUNCTION LOAD ({answer}): give this user +fcall and +function|load "
            "(deploy/redis/users.acl), or use a server that has functions, Redis 7.0+ or "
            "Valkey 7.2+; some managed forms switch them off"
        )


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
        return await self._loaded(redis, lambda: redis.fcall(*self._call(name, keys, args)))

    async def run_acknowledged(
        self,
        redis: ScriptRunner,
        name: str,
        keys: list[str],
        args: list[Any],
        replicas: ReplicaAcknowledgement,
    ) -> Any:
        """The same, and replicas have it, too. Raises NotReplicatedError."""
        call = self._call(name, keys, args)
        return await self._loaded(redis, lambda: replicas.call(redis, keys[0], call))

    def _call(self, name: str, keys: list[str], args: list[Any]) -> tuple[Any, ...]:
        return (f"{name}_{self.version}", len(keys), *keys, *args)

    async def _loaded(self, redis: ScriptRunner, call: Callable[[], Awaitable[Any]]) -> Any:
        """Call; a server that does not know the library (new, or failed over) is given it first."""
        try:
            return await call()
        except ResponseError as error:
            if UNKNOWN not in str(error):
                raise
        try:
            await redis.function_load(self.source, replace=True)
        except ResponseError as error:
            if any(word in str(error) for word in REFUSALS):
                raise FunctionsRefusedError(str(error)) from error
            raise
        return await call()


def _source(name: str) -> str:
    return LUA.joinpath(f"{name}.lua").read_text()


def _function(name: str, version: str) -> str:
    """The transition `lua/<name>.lua` as a function of the library.

    Without `allow-oom` in its first line the server refuses the whole call, not half of it, when
    memory is used up. A script that ends in `return run` is read once, when the library is loaded,
    so that its functions are made once; `run` is what each call does. Of others all is.
    """
    header, _, body = _source(name).partition("\n")
    flags = header.removeprefix(HEADER).strip().removeprefix("flags=")
    quoted = ", ".join(f"'{flag}'" for flag in flags.split(",") if flag)
    before, call = "", body
    if body.rstrip().endswith("\nreturn run"):
        before, call = f"local run = (function()\n{body}\nend)()\n", "return run()"
    return (
        f"do\n{before}redis.register_function{{function_name = '{name}_{version}', "
        f"flags = {{{quoted}}},\n"
        f"callback = function(keys, args)\nbegin(keys, args)\n{call}\nend}}\nend\n"
    )


@cache
def load_library() -> Library:
    """The library of this version of the project."""
    shared = "\n".join(_source(f"shared/{name}") for name in SHARED)
    files = "".join(_source(name) for name in script_names())
    version = hashlib.sha256((shared + files).encode()).hexdigest()[:12]
    functions = "\n".join(_function(name, version) for name in script_names())
    source = f"{HEADER} name=scraper_workers_{version}\n{shared}\n{functions}"
    return Library(version, source)


def script_names() -> list[str]:
    """The names of all transitions, sorted."""
    return sorted(it.name[:-4] for it in LUA.iterdir() if it.name.endswith(".lua"))
