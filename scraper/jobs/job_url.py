"""Checks the URL of a job: absolute, http or https, with a host that can be fetched.

The frontier knows a page by its URL, so a job's has to have the form of the links that lead to it:
that of `scraper.scope`, except that escapes are left as they are.
"""

import re

from ada_url import normalize_url

from scraper.jobs.faults import fault_error, shown

MAX_URL_CHARS = 2_048
_MAX_HOST_CHARS = 253

_EXAMPLE = "such as https://example.com/"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_AUTHORITY = re.compile(r"[^/?#\\]*")
_LOOKS_LIKE_HOST = re.compile(r"(?:[\w-]+\.)+\w{2,}(?:[:/?#]|$)|localhost\b")
_PARSED = re.compile(
    r"(?P<scheme>https?://)(?P<host>\[[0-9a-f:]+\]|[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*)\.?"
    r"(?P<port>:[1-9][0-9]*)?(?P<path>/[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.DOTALL,
)
_PORT = re.compile(r":([^:\]]*)$")
# How nearly all of them are written once they were checked.
_USUAL = re.compile(r"https?://[a-z0-9.-]+(?::[1-9][0-9]*)?/[!$&-;=?-Z_a-z~]*")
# Legal for browsers, not for RFC 3986.
_ESCAPED = str.maketrans({char: f"%{ord(char):02X}" for char in "\\^`{|}[]"})


def check_job_url(value: object) -> str:
    """The URL as browsers write it, without fragment. Raises a fault that says what to do."""
    if not isinstance(value, str):
        raise fault_error(f"is {shown(value)}", f"give an address as text, {_EXAMPLE}")
    url = value.strip(" \t\r\n")
    _refuse_characters(url)
    authority = _authority(url)
    try:
        parsed = normalize_url(url)
    except ValueError:
        raise _host_fault(authority) from None
    match = _PARSED.fullmatch(parsed)
    if match is None or len(match["host"]) > _MAX_HOST_CHARS:
        raise _host_fault(authority)
    target = f"{match['path']}?{match['query']}" if match["query"] else match["path"]
    target = target.translate(_ESCAPED)
    written = f"{match['scheme']}{match['host']}{match['port'] or ''}{target}"
    if len(written) > MAX_URL_CHARS:
        problem = f"is too long once it is escaped ({len(written):,} characters)"
        raise fault_error(problem, f"give at most {MAX_URL_CHARS:,} characters")
    return written


def stored_job_url(url: str) -> str:
    """The URL of a stored job, which was checked when the job was accepted.

    So only what is not written as usual is checked again. Raises a fault, as `check_job_url`.
    """
    return url if _USUAL.fullmatch(url) and len(url) <= MAX_URL_CHARS else check_job_url(url)


def _refuse_characters(url: str) -> None:
    if not url:
        raise fault_error("is empty", f"give an address, {_EXAMPLE}")
    if len(url) > MAX_URL_CHARS:
        problem = f"is too long ({len(url):,} characters)"
        raise fault_error(problem, f"give at most {MAX_URL_CHARS:,} characters")
    control = _CONTROL.search(url)
    if control:
        problem = f"has a control character (U+{ord(control[0]):04X}) at {control.start() + 1}"
        raise fault_error(problem, "remove it")
    if re.search(r"\s", url):
        raise fault_error("has a space in it", "write %20 for it, and one address only")
    if not url.isascii() and re.search("[\ud800-\udfff]", url):
        raise fault_error("has half a character (a lone surrogate)", "give valid text")


def _authority(url: str) -> str:
    """What stands between the scheme and the path, checked as far as text can be."""
    scheme = _SCHEME.match(url)
    if scheme is None:
        meant = f"did you mean https://{url[:80]}?" if _LOOKS_LIKE_HOST.match(url) else ""
        hint = meant or f"begin with http:// or https://, {_EXAMPLE}"
        raise fault_error("is not an absolute address", hint)
    if scheme[1].lower() not in ("http", "https"):
        raise fault_error(f"begins with {scheme[1][:20]}://", "only http and https are fetched")
    match = _AUTHORITY.match(url, scheme.end())
    authority = match[0] if match else ""
    # Before anything is shown of it: there may be a password.
    if "@" in authority:
        problem = "holds a user name or a password"
        raise fault_error(problem, "remove what stands before the @; jobs are stored and shown")
    if not authority or authority.startswith(":"):
        raise fault_error("has no host", f"give an address, {_EXAMPLE}")
    return authority


def _host_fault(authority: str) -> Exception:
    port = _PORT.search(authority)
    if port and port[1] and not (port[1].isdecimal() and 0 < int(port[1][:9]) <= 65_535):
        return fault_error(f"has the port {shown(port[1])}", "give a port from 1 to 65535, or none")
    host = authority[: port.start()] if port else authority
    hint = "give a name of letters, digits and hyphens, or an IP address"
    return fault_error(f"has the host {shown(host)}", hint)
