"""The types of a job's fields that need more than a range: ids, metadata, events, secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, cast, get_args

import orjson
from pydantic import BeforeValidator

from scraper.jobs.faults import fault_error, shown
from scraper.jobs.job_url import check_job_url
from scraper.jobs.path_patterns import check_patterns
from scraper.jobs.suggest import did_you_mean

MAX_METADATA_BYTES = 64 * 1024

WebhookEvent = Literal[
    "workerActive", "pageCommitted", "workerCompleted", "workerFailed", "jobCancelled"
]
WEBHOOK_EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)


def _text_like(pattern: str, hint: str, *, is_secret: bool = False) -> Callable[[object], str]:
    """A check that a value is a text that `pattern` matches as a whole."""
    compiled = re.compile(pattern)

    def check(value: object) -> str:
        if isinstance(value, str) and compiled.fullmatch(value):
            return value
        raise fault_error("cannot be used" if is_secret else f"is {shown(value)}", hint)

    return check


def _check_metadata(value: object) -> dict[str, Any]:
    """A copy of the object, in plain JSON values: later changes by the caller don't reach it."""
    if not isinstance(value, dict):
        raise fault_error(f"is {shown(value)}", 'give a JSON object, such as {"order": 17}')
    if not value:
        return {}
    try:
        # orjson writes NaN as null without a word, and takes what is no JSON (UUID, date).
        json.dumps(value, allow_nan=False)
        text = orjson.dumps(value)
    except RecursionError:
        raise fault_error("is nested too deeply", "give at most 100 levels") from None
    except (TypeError, ValueError) as error:
        problem = f"cannot be kept as JSON ({str(error)[:100]})"
        raise fault_error(problem, "give texts, numbers, booleans, null, lists, objects") from None
    if len(text) > MAX_METADATA_BYTES:
        problem = f"is too large ({len(text):,} bytes)"
        raise fault_error(problem, f"give at most {MAX_METADATA_BYTES:,} bytes of JSON")
    return cast("dict[str, Any]", orjson.loads(text))


def _check_events(value: object) -> tuple[WebhookEvent, ...]:
    if not isinstance(value, list | tuple) or not value:
        names = ", ".join(WEBHOOK_EVENTS)
        raise fault_error(f"is {shown(value) if value else 'empty'}", f"give a list of {names}")
    for name in value:
        if name not in WEBHOOK_EVENTS:
            hint = did_you_mean(str(name), WEBHOOK_EVENTS, "the events are")
            raise fault_error(f"has {shown(name)} in it", hint)
    return tuple(dict.fromkeys(cast("list[WebhookEvent]", value)))


MAX_HOSTS = 1_000
MAX_PARAMETERS = 200
# Those that name a visit, a campaign or a click, never a page.
IGNORED_PARAMETERS = (
    "utm_*", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "fbclid", "msclkid", "yclid",
    "twclid", "ttclid", "igshid", "mc_cid", "mc_eid", "_ga", "_gl", "_hsenc", "_hsmi", "mkt_tok",
    "phpsessid", "jsessionid", "aspsessionid*", "sessionid", "session_id", "zenid", "oscsid",
    "cfid", "cftoken",
)  # fmt: skip


def _texts(value: object, most: int, example: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise fault_error(f"is {shown(value)}", f"give a list of texts, such as {example}")
    if len(texts) > most:
        raise fault_error(f"has {len(texts):,} entries", f"give at most {most:,}")
    return cast("list[str]", list(texts))


def _check_hosts(value: object) -> tuple[str, ...]:
    """Hosts, each with its port where that is not the scheme's own, as URLs have them."""
    hosts = []
    for text in _texts(value, MAX_HOSTS, '["shop.example.com"]'):
        host = text.strip()
        if not host or re.search(r"[/?#@\\\s]", host):
            hint = "give hosts alone, such as shop.example.com or localhost:8080"
            raise fault_error(f"has {shown(text)} in it", hint)
        hosts.append(check_job_url(f"http://{host}/")[len("http://") : -1])
    return tuple(dict.fromkeys(hosts))


def _check_parameters(value: object) -> tuple[str, ...]:
    names = _texts(value, MAX_PARAMETERS, '["utm_*", "ref"]')
    for name in names:
        if not re.fullmatch(r"[!-~]{0,99}[!-)+-~]|[!-)+-~]{1,99}\*", name) or "*" in name[:-1]:
            hint = "give the names of parameters; '*' stands at the end only, as in utm_*"
            raise fault_error(f"has {shown(name)} in it", hint)
    return tuple(names)


JobUrl = Annotated[str, BeforeValidator(check_job_url)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(check_patterns)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(_check_hosts)]
ParameterNames = Annotated[tuple[str, ...], BeforeValidator(_check_parameters)]
Metadata = Annotated[dict[str, Any], BeforeValidator(_check_metadata)]
WebhookEvents = Annotated[tuple[WebhookEvent, ...], BeforeValidator(_check_events)]
# No ":": it parts the names of a job's keys in Redis.
JobId = Annotated[
    str,
    BeforeValidator(
        _text_like(
            r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}",
            "give 1 to 128 letters, digits or . _ @ -, a letter or digit first",
        )
    ),
]
CUSTOMER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
CustomerId = Annotated[
    str,
    BeforeValidator(
        _text_like(
            CUSTOMER_ID.pattern,
            "give 1 to 128 letters, digits or . _ : @ -, a letter or digit first",
        )
    ),
]
PresetName = Annotated[
    str, BeforeValidator(_text_like(r"[A-Za-z0-9_-]{1,64}", "give the name of a preset"))
]
Secret = Annotated[
    str,
    BeforeValidator(
        _text_like(r"[!-~]{1,256}", "give 1 to 256 visible ASCII characters", is_secret=True)
    ),
]
