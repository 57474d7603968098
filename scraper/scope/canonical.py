"""The canonical form of a URL: the identity of a page.

Parsing and joining are those of the WHATWG URL Standard, by the Ada library. On top of it, so that
one page has one name and names what can be fetched:

- the fragment, the user info, an empty query and the dot that ends a host name are dropped;
- escapes are upper case, and unreserved characters are never escaped (RFC 3986, 6.2.2), unless the
  URL has a stray '%' ('50%&x'): which escapes its server sees then is not ours to guess;
- the characters that RFC 3986 forbids and the Standard leaves alone (\\ ^ ` { | } [ ] in queries,
  | [ ] in paths) are escaped: so Scrapy's own clean-up of URLs changes nothing any more;
- refused besides what the Standard refuses: other schemes than http and https; host names with an
  empty label, a label over 63 or in all over 253 characters, or other characters than
  letters, digits, '-' and '_' ('http://{{host}}/'); port 0; more than 2,048 characters in
  canonical form, or 65,536 as given;
- lone surrogates are read as U+FFFD.
"""

import re
from typing import Final

from ada_url import check_url, join_url, normalize_url

from scraper.scope.errors import InvalidUrlError
from scraper.scope.query_encoding import encode_query

MAX_URL_CHARS: Final = 2_048
_MAX_INPUT_CHARS: Final = 65_536
_MAX_HOST_CHARS: Final = 253

_SITE = r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*"
_PORT = r":[1-9][0-9]*"
_TIDY_ESCAPE = "%(?:[0189A-F][0-9A-F]|2[0-9A-CF]|3[A-F]|[46]0|5[B-E]|7[B-DF])"
_PATH_CHARS = r"[A-Za-z0-9._~/!$&'()*+,;=:@-]*"
_QUERY_CHARS = r"[A-Za-z0-9._~/!$&()*+,;=:@?-]*"
# What the parser gives for most links: nothing left to do.
_CANONICAL = re.compile(
    rf"https?://(?![^/]{{{_MAX_HOST_CHARS}}}){_SITE}(?:{_PORT})?"
    rf"/{_PATH_CHARS}(?:{_TIDY_ESCAPE}{_PATH_CHARS})*"
    rf"(?:\?(?=.){_QUERY_CHARS}(?:{_TIDY_ESCAPE}{_QUERY_CHARS})*)?"
)
_PARSED = re.compile(
    rf"(https?://)(?:[^/@]*@)?({_SITE}|\[[0-9a-f:]+\])\.?({_PORT})?"
    r"(/[^?#]*)(?:\?([^#]*))?(?:#.*)?",
    re.DOTALL,
)
# A path that is the same on each site, and in which there is nothing to resolve or to escape.
_PLAIN_PATH = re.compile(rf"/(?!/){_PATH_CHARS}")
_HEX = "0-9A-Fa-f"
_ESCAPE = re.compile(f"%[{_HEX}]{{2}}")
_STRAY_PERCENT = re.compile(f"%(?![{_HEX}]{{2}})")
_UNTIDY_ESCAPE = re.compile(f"%(?!{_TIDY_ESCAPE[1:]})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE_LEFT_RAW: Final = str.maketrans({char: f"%{ord(char):02X}" for char in "\\^`{|}[]"})

_SCHEME = re.compile(r"[\x00-\x20]*([A-Za-z][A-Za-z0-9+.-]*):")
_AUTHORITY = re.compile(r"[\x00-\x20]*(?:[A-Za-z]+:)?[/\\]*([^/\\?#]*)")
_GIVEN_PORT = re.compile(r":([^:\]]*)$")


def canonical_url(url: str, encoding: str = "utf-8") -> str:
    """The canonical form of an absolute http or https URL.

    `encoding` is the page's, in which browsers encode the query of a link; the rest is always
    UTF-8. Idempotent. Raises InvalidUrlError.
    """
    if len(url) > _MAX_INPUT_CHARS:
        raise _oversized(url)
    text = encode_query(url, encoding)
    try:
        parsed = normalize_url(text)
    except ValueError:
        clean = _without_surrogates(text)
        if clean != text:
            return canonical_url(clean)
        raise _fault_of(url) from None
    return _canonical(parsed, url)


def resolve(base: str, href: str, encoding: str = "utf-8") -> str:
    """The canonical URL of the page that `href` leads to when found in the page `base`.

    `base` is what the page's links are relative to (its own URL or its `<base href>`); `encoding`
    as for `canonical_url`. '' and '#part' give the base itself. Raises InvalidUrlError.
    """
    if len(href) > _MAX_INPUT_CHARS:
        raise _oversized(href)
    text = encode_query(href, encoding)
    try:
        parsed = join_url(base, text)
    except ValueError:
        return _resolve_again(base, href, text)
    return _canonical(parsed, href)


def is_plain_path(href: str) -> bool:
    """Whether `href` leads to the base's origin followed by `href` itself, as most links do.

    To know that costs a twentieth of asking the parser.
    """
    return _PLAIN_PATH.fullmatch(href) is not None and "/." not in href


def host_key(url: str) -> str:
    """host[:port] of a canonical URL, the port only where it is not the scheme's default.

    The politeness key and the name of a host's lane: http and https on their default ports share
    one. Raises InvalidUrlError for what is no absolute http or https URL; the rest is not checked.
    """
    parts = url.split("/", 3)
    if len(parts) == 4 and parts[2] and not parts[1] and parts[0] in ("http:", "https:"):
        return parts[2]
    raise _fault_of(url)


def escape_path(text: str) -> str:
    """`text` as it would stand in a canonical path; '/' is kept, '?' and '#' are escaped."""
    illegal = re.sub(
        r"""[^\x21-\x7e]|["#<>?\\^`{|}\[\]]""", _escape_utf8, _without_surrogates(text)
    )
    return _tidy_escapes(illegal)


def _canonical(parsed: str, given: str) -> str:
    if len(parsed) <= MAX_URL_CHARS and _CANONICAL.fullmatch(parsed):
        return parsed
    match = _PARSED.fullmatch(parsed)
    if match is None:
        raise _fault_of(given, parsed)
    scheme, host, port, path, query = match.groups()
    if len(host) > _MAX_HOST_CHARS:
        raise InvalidUrlError(given, "malformed", "bad host: over 253 characters")
    # Folding session ids and the order of parameters would work on `query`, here.
    target = f"{path}?{query}" if query else path
    target = _tidy_escapes(target.translate(_ESCAPE_LEFT_RAW))
    canonical = f"{scheme}{host}{port or ''}{target}"
    if len(canonical) > MAX_URL_CHARS:
        raise InvalidUrlError(given, "too_long", f"over {MAX_URL_CHARS:,} characters")
    return canonical


def _tidy_escapes(text: str) -> str:
    if not _UNTIDY_ESCAPE.search(text):
        return text
    # Decoding next to a stray '%' could make a new escape: '%%34%31' would become '%41', then 'A'.
    tidy = _upper_case if _STRAY_PERCENT.search(text) else _decode_unreserved
    return _ESCAPE.sub(tidy, text)


def _upper_case(escape: re.Match[str]) -> str:
    return escape[0].upper()


def _decode_unreserved(escape: re.Match[str]) -> str:
    char = chr(int(escape[0][1:], 16))
    return char if char in _UNRESERVED else escape[0].upper()


def _escape_utf8(char: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in char[0].encode())


def _without_surrogates(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _resolve_again(base: str, href: str, text: str) -> str:
    """Join what failed once more without lone surrogates, or raise what is wrong with it."""
    clean_base, clean_text = _without_surrogates(base), _without_surrogates(text)
    if (clean_base, clean_text) != (base, text):
        return resolve(clean_base, clean_text)
    if not check_url(base):
        raise _fault_of(base)
    raise _fault_of(href, href if _SCHEME.match(href) else f"http:{href.strip()}")


def _oversized(url: str) -> InvalidUrlError:
    scheme = _SCHEME.match(url)
    if scheme and scheme[1].lower() not in ("http", "https"):
        return _fault_of(url)
    return InvalidUrlError(url, "too_long", f"over {MAX_URL_CHARS:,} characters")


def _fault_of(url: str, parsed: str | None = None) -> InvalidUrlError:
    """What is wrong with a URL that was refused; `parsed` where only our own rules refused it."""
    text = re.sub(r"[\t\n\r]", "", parsed or url[:_MAX_INPUT_CHARS])
    scheme = _SCHEME.match(text)
    if scheme is None:
        return InvalidUrlError(
            url, "malformed", "no scheme: it must begin with http:// or https://"
        )
    if scheme[1].lower() not in ("http", "https"):
        return InvalidUrlError(url, "scheme", f"{scheme[1]}: is neither http nor https")
    authority = _AUTHORITY.match(text)
    host_and_port = authority[1].rpartition("@")[2] if authority else ""
    port = _GIVEN_PORT.search(host_and_port)
    host = host_and_port[: port.start()] if port else host_and_port
    if not host:
        return InvalidUrlError(url, "malformed", "no host")
    if (
        port
        and port[1]
        and not (re.fullmatch("[0-9]+", port[1]) and 0 < int(port[1][:9]) <= 65_535)
    ):
        return InvalidUrlError(url, "malformed", f"bad port {port[1][:20]!r}")
    return InvalidUrlError(url, "malformed", f"bad host {host[:100]!r}")
