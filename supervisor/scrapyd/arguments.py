"""Reads the arguments of a request as scrapyd does: from the query and from a form."""

from __future__ import annotations

import email
import email.policy
from urllib.parse import parse_qsl

MOST_FIELDS = 1000


class ScrapydError(Exception):
    """What scrapyd answers with `"status": "error"`."""


class Arguments:
    """Named texts, each once or more. What an endpoint takes is taken out."""

    def __init__(self, query: str, content_type: str, body: bytes) -> None:
        """Raises ScrapydError."""
        self._values: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_FIELDS)
            if content_type.startswith("application/x-www-form-urlencoded"):
                pairs += parse_qsl(
                    body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS
                )
            elif content_type.startswith("multipart/form-data"):
                pairs += _multipart(content_type, body)
        except ValueError as error:
            raise ScrapydError(f"the form cannot be read: {error}") from error
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def take(self, name: str) -> str:
        """A parameter that must be there. Raises ScrapydError."""
        if name not in self._values:
            raise ScrapydError(f"'{name}' parameter is required")
        return self._values.pop(name)[0]

    def take_or(self, name: str, otherwise: str | None) -> str | None:
        """A parameter that need not be there."""
        return self._values.pop(name)[0] if name in self._values else otherwise

    def take_number(self, name: str) -> float:
        """A number that need not be there: 0. Raises ScrapydError."""
        text = self.take_or(name, "0") or ""
        try:
            # From bytes, for the message that scrapyd has.
            return float(text.encode())
        except ValueError as error:
            raise ScrapydError(f"{name} is invalid: {error}") from error

    def take_all(self, name: str) -> list[str]:
        return self._values.pop(name, [])

    def rest(self) -> dict[str, str]:
        """What nobody took: a spider's arguments."""
        return {name: values[0] for name, values in self._values.items()}


def _multipart(content_type: str, body: bytes) -> list[tuple[str, str]]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    pairs = []
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str):
            content = part.get_payload(decode=True)
            text = content if isinstance(content, bytes) else b""
            pairs.append((name, text.decode("utf-8", "replace")))
    return pairs
