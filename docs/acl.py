"""The rights that the service needs in Redis, read out of the code: `deploy/redis/users.acl`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
ACL_FILE = ROOT / "deploy" / "redis" / "users.acl"

_LUA_COMMAND = re.compile(r"'([A-Z]{3,})'")
_METHOD = re.compile(r"\b(?:redis|_?blocking|client|pipe)\.([a-z_]+)\(")
_RAW = re.compile(r'execute_command\(\s*"([A-Z]+)"(?:, "([A-Z]+)")?')

# redis-py's methods whose command has another name; "" is no command.
_COMMANDS = {
    "function_load": "function|load",
    "config_get": "config|get",
    "delete": "del",
    "xinfo_stream": "xinfo|stream",
    **dict.fromkeys(
        (
            "pipeline",
            "execute",
            "aclose",
            "close",
            "initialize",
            "from_url",
            "pack_command",
            "execute_command",
        ),
        "",
    ),
    **dict.fromkeys(("home_node", "learn_again", "execute_command"), ""),
    **dict.fromkeys(("error_reply", "register_function", "call", "connect", "begin"), ""),
}
# What the client library sends of its own accord, on connecting and for a cluster.
_CLIENT_LIBRARY = (
    "client|setname", "cluster|slots", "cluster|shards", "command", "asking",
    "select", "wait", "multi", "exec", "ping",
)  # fmt: skip
# Words in capitals inside the scripts that are arguments.
_ARGUMENTS = {
    "MAXLEN", "LIMIT", "WITHSCORES", "COUNT", "LEFT", "RIGHT", "MATCH", "NOMKSTREAM", "MINID",
}  # fmt: skip

# A queue's keys, its list for pushes, and scrapy-redis' lists with what is claimed of them.
_KEYS = r"~{scrape-queue}:* ~scrape-queue ~*:start_urls ~{*:start_urls}:*"

_OTHERS = (
    # By the manuals of Redis, for those who replicate or watch; without them leave the lines out.
    "user replica on ><password> +psync +replconf +ping",
    # `redis-cli --rdb`.
    "user backup on ><password> +sync +replconf +ping",
    "user sentinel on ><password> allchannels +multi +slaveof +ping +exec +subscribe "
    "+config|rewrite +role +publish +info +client|setname +client|kill +script|kill",
    "user admin on ><password> ~* &* +@all",
)


def commands_used() -> set[str]:
    """Every command that the scripts and the Python code send, as ACL rules name them."""
    found = set(_CLIENT_LIBRARY)
    for path in (ROOT / "scraper" / "jobs" / "lua").rglob("*.lua"):
        code = re.sub(r"--.*", "", path.read_text())
        found |= {name.lower() for name in _LUA_COMMAND.findall(code) if name not in _ARGUMENTS}
    for path in _python_files():
        text = path.read_text()
        found |= {_COMMANDS.get(name, name) for name in _METHOD.findall(text)}
        found |= {"|".join(filter(None, words)).lower() for words in _RAW.findall(text)}
    return found - {""}


def _python_files() -> Iterator[Path]:
    # `migrate` is an operator's command, run as admin.
    jobs = (ROOT / "scraper" / "jobs").glob("*.py")
    yield from sorted(path for path in jobs if path.name != "migration.py")
    yield from sorted((ROOT / "scraper").glob("*.py"))
    yield from sorted((ROOT / "supervisor").rglob("*.py"))


def render() -> str:
    """The ACL file; Redis allows no comments in it."""
    service = f"user scraper on ><password> {_KEYS} {_rules(commands_used())}"
    return "\n".join(("user default off", service, *_OTHERS)) + "\n"


def _rules(commands: Iterable[str]) -> str:
    return " ".join(f"+{command}" for command in sorted(commands))
