"""Reads single values of products: prices, currencies, availability, GTINs, ratings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, NamedTuple

from price_parser import Price as ParsedPrice

from scraper.extraction.schema_org import text_of
from scraper.extraction.text import collapsed

MAX_PRICE_CHARS: Final = 100
_MAX_AMOUNT: Final = Decimal(10) ** 12

# Symbols that stand for one currency; "$", "kr" and "¥" stand for several and are left as they are.
_CODES: Final[Mapping[str, str]] = {
    "€": "EUR",
    "£": "GBP",
    "₽": "RUB",
    "руб": "RUB",
    "zł": "PLN",
    "Kč": "CZK",
    "₹": "INR",
    "R$": "BRL",
    "US$": "USD",
    "C$": "CAD",
    "CA$": "CAD",
    "A$": "AUD",
    "AU$": "AUD",
    "NZ$": "NZD",
    "HK$": "HKD",
    "S$": "SGD",
    "MX$": "MXN",
    "₩": "KRW",
    "₺": "TRY",
    "TL": "TRY",
    "₴": "UAH",
    "грн": "UAH",
    "₪": "ILS",
    "฿": "THB",
    "₫": "VND",
    "Ft": "HUF",
    "lei": "RON",
    "лв": "BGN",
    "CHF": "CHF",
    "Fr.": "CHF",
    "Rs.": "INR",
    "₱": "PHP",
    "₦": "NGN",
    "CN¥": "CNY",
}
_CODE = re.compile(r"[A-Z]{3}")
# As schema.org wants numbers: without separators of thousands.
_PLAIN_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,8})?")

_AVAILABILITIES: Final = (
    *("InStock", "OutOfStock", "PreOrder", "PreSale", "BackOrder", "SoldOut", "Discontinued"),
    *("LimitedAvailability", "OnlineOnly", "InStoreOnly", "MadeToOrder", "Reserved"),
)
_CONDITIONS: Final = ("NewCondition", "UsedCondition", "RefurbishedCondition", "DamagedCondition")
_NOT_LETTERS = re.compile(r"[^a-z]+")
_BY_WORD: Final[Mapping[str, str]] = {
    **{name.lower(): name for name in _AVAILABILITIES},
    **dict.fromkeys(("available", "instocknow", "onstock", "true", "yes"), "InStock"),
    **dict.fromkeys(("unavailable", "oos", "notavailable", "false", "no"), "OutOfStock"),
    **dict.fromkeys(("availablefororder", "onorder", "backorderable"), "BackOrder"),
    "comingsoon": "PreOrder",
    "limited": "LimitedAvailability",
}
_CONDITION_BY_WORD: Final[Mapping[str, str]] = {
    **{name.lower(): name for name in _CONDITIONS},
    **{name.removesuffix("Condition").lower(): name for name in _CONDITIONS},
}


class Price(NamedTuple):
    """`amount` as a number; `currency` as an ISO 4217 code, or else as it is written, or None;
    `text` as the page has it.
    """

    amount: float
    currency: str | None
    text: str


def read_price(value: object, currency: object = None) -> Price | None:
    """The price in a text or a number; `currency` is what is said of it elsewhere."""
    text = text_of(value)
    if text is None or len(text) > MAX_PRICE_CHARS:
        return None
    hint = text_of(currency)
    parsed = _parsed_price(text, hint[:20] if hint else None)
    amount = parsed.amount
    if _PLAIN_NUMBER.fullmatch(text):
        # "34.000" is 34 by schema.org, and 34,000 as people write it in half of Europe.
        amount = Decimal(text)
    if amount is None or not 0 <= amount < _MAX_AMOUNT:
        return None
    return Price(float(amount), currency_code(hint) or currency_code(parsed.currency), text)


@lru_cache(maxsize=256)
def _parsed_price(text: str, hint: str | None) -> ParsedPrice:
    try:
        return ParsedPrice.fromstring(text, currency_hint=hint)
    except (InvalidOperation, ValueError):
        return ParsedPrice(None, None, None)


def currency_code(symbol: str | None) -> str | None:
    """The ISO 4217 code for a symbol where that is certain, else the symbol itself."""
    symbol = symbol.strip() if symbol else None
    if not symbol or len(symbol) > 8:
        return None
    if _CODE.fullmatch(symbol.upper()):
        return symbol.upper()
    return _CODES.get(symbol, symbol)


def read_availability(value: object) -> str | None:
    """A name of schema.org's ItemAvailability, such as 'InStock'; None for what is none."""
    return _by_word(value, _BY_WORD)


def read_condition(value: object) -> str | None:
    """A name of schema.org's OfferItemCondition, such as 'NewCondition'."""
    return _by_word(value, _CONDITION_BY_WORD)


def _by_word(value: object, names: Mapping[str, str]) -> str | None:
    text = text_of(value)
    if not text or len(text) > 100:
        return None
    word = text.rstrip("/").rpartition("/")[2]
    return names.get(_NOT_LETTERS.sub("", word.lower()))


def read_gtin(value: object) -> str | None:
    """A GTIN (8, 12, 13 or 14 digits) or ISBN whose check digit is right."""
    text = text_of(value)
    if not text or len(text) > 40:
        return None
    digits = re.sub(r"[\s-]+", "", text.lower().removeprefix("isbn:"))
    if not (digits.isascii() and digits.isdigit()) or len(digits) not in (8, 12, 13, 14):
        return _isbn10(digits)
    total = sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(digits[-2::-1]))
    is_right = (10 - total % 10) % 10 == int(digits[-1]) and digits.strip("0") != ""
    return digits if is_right else None


def _isbn10(digits: str) -> str | None:
    from stdnum import isbn

    return digits.upper() if len(digits) == 10 and isbn.is_valid(digits) else None


def read_number(value: object) -> float | None:
    """A number such as a rating ('4,5') or None."""
    text = text_of(value)
    match = re.search(r"[0-9]+(?:[.,][0-9]+)?", text[:50]) if text else None
    return float(match[0].replace(",", ".")) if match and len(match[0]) <= 15 else None


def read_count(value: object) -> int | None:
    """A count such as that of reviews ('1,234')."""
    text = text_of(value)
    match = re.search(r"[0-9]{1,3}(?:[., '][0-9]{3})+|[0-9]+", text[:50]) if text else None
    return int(re.sub("[^0-9]", "", match[0])) if match and len(match[0]) <= 15 else None


def read_brand(value: object) -> str | None:
    """The name of a brand, without a label before it ('Brand: Acme'); None for a placeholder."""
    text = short_text(value, 200)
    name = text.rpartition(": ")[2] if text else ""
    return name if name and not name.startswith(("$", "{", "http")) else None


def short_text(value: object, max_chars: int) -> str | None:
    """The text of a value on one line, cut to `max_chars`; None for none."""
    text = text_of(value)
    return (collapsed(text, max_chars) or None) if text else None
