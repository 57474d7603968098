"""Asking for receivers must agree with what sending would do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydispatch import dispatcher
from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.signalmanager import SignalManager

from scraper.network.fast_path import QuickSignals
from scraper.network.receivers import has_receivers


def receive() -> str:
    return "received"


@pytest.fixture
def crawler() -> Crawler:
    return Crawler(Spider)


def test_nobody_listens_at_first(crawler: Crawler) -> None:
    assert not has_receivers(crawler, signals.spider_idle)
    assert QuickSignals(crawler).send_catch_log(signals.spider_idle) == []


@pytest.mark.parametrize("manager", [SignalManager, QuickSignals])
def test_receiver_is_seen_until_it_leaves(crawler: Crawler, manager: type[SignalManager]) -> None:
    manager(crawler).connect(receive, signals.spider_idle)
    assert has_receivers(crawler, signals.spider_idle)
    assert not has_receivers(crawler, signals.spider_closed)
    assert not has_receivers(Crawler(Spider), signals.spider_idle)
    assert QuickSignals(crawler).send_catch_log(signals.spider_idle) == [(receive, "received")]
    manager(crawler).disconnect(receive, signals.spider_idle)
    assert not has_receivers(crawler, signals.spider_idle)


@pytest.mark.parametrize("is_any_sender", [True, False])
@pytest.mark.parametrize("is_any_signal", [True, False])
def test_receiver_of_anything_is_seen(
    crawler: Crawler, is_any_sender: bool, is_any_signal: bool
) -> None:
    sender = dispatcher.Any if is_any_sender else crawler
    signal = dispatcher.Any if is_any_signal else signals.spider_idle
    connect: Callable[..., None] = dispatcher.connect
    disconnect: Callable[..., None] = dispatcher.disconnect
    connect(receive, signal, sender)
    try:
        assert has_receivers(crawler, signals.spider_idle)
        assert QuickSignals(crawler).send_catch_log(signals.spider_idle) == [(receive, "received")]
    finally:
        disconnect(receive, signal, sender)


def test_receiver_that_is_gone_does_not_count(crawler: Crawler) -> None:
    def passing() -> None:
        return None

    crawler.signals.connect(passing, signals.spider_idle)
    assert has_receivers(crawler, signals.spider_idle)
    del passing
    assert not has_receivers(crawler, signals.spider_idle)
