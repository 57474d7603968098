"""The shipped ACL file grants what the code uses, and nothing dangerous."""

from __future__ import annotations

from docs import acl

DANGEROUS = {
    "flushall", "flushdb", "keys", "config", "config|set", "eval", "debug", "shutdown", "acl",
    "function", "function|flush", "function|delete", "replicaof", "slaveof", "migrate", "restore",
    "module", "script", "monitor", "client", "client|kill", "save", "bgsave", "bgrewriteaof",
}  # fmt: skip


def rules_of(user: str) -> list[str]:
    lines = [line.split() for line in acl.ACL_FILE.read_text().splitlines()]
    return next(words[2:] for words in lines if words[1] == user)


def test_service_may_send_what_the_code_sends_and_no_more() -> None:
    granted = {rule[1:] for rule in rules_of("scraper") if rule.startswith("+")}
    assert granted == acl.commands_used()
    assert not granted & DANGEROUS
    assert {"fcall", "hset", "xadd", "zadd", "blmove", "function|load"} <= granted


def test_service_reaches_its_queue_and_the_doors_only() -> None:
    patterns = {rule for rule in rules_of("scraper") if rule.startswith(("~", "%", "&", "all"))}
    assert patterns == {
        "~{scrape-queue}:*", "~scrape-queue", "~*:start_urls", "~{*:start_urls}:*",
    }  # fmt: skip


def test_nobody_comes_in_without_a_password() -> None:
    assert rules_of("default") == ["off"]
    assert "nopass" not in acl.ACL_FILE.read_text()
