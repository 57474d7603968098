"""How the benchmark of extraction counts."""

import pytest

from benchmarks.extraction import is_same, shingle_counts


def test_equal_texts_share_all_and_other_texts_nothing() -> None:
    assert shingle_counts("a b c d e", "a, b c d e") == (1.0, 0.0, 0.0)
    assert shingle_counts("a b c d e", "v w x y z") == (0.0, 0.5, 0.5)
    assert shingle_counts("", "") == (0.0, 0.0, 0.0)


def test_surplus_and_missing_text_count_apart() -> None:
    assert shingle_counts("a b c d", "a b c d e") == (0.5, 0.5, 0.0)
    assert shingle_counts("a b c d e", "a b c d") == (0.5, 0.0, 0.5)


@pytest.mark.parametrize(
    ("field", "wanted", "found"),
    [
        ("price", "12.50", 12.5),
        ("price", "131990 ", "131990.0"),
        ("brand", "ACME ", "Acme"),
        ("gtin", "04006381333931", "4006381333931"),
        ("sku", "S-1", "S-1"),
    ],
)
def test_values_are_compared_by_what_they_mean(field: str, wanted: str, found: object) -> None:
    assert is_same(field, wanted, found)
    assert not is_same(field, wanted, "7")
