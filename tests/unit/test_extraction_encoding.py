"""What encoding a page has, and that its text comes out right."""

import codecs

import pytest

from scraper.extraction import Profile, detect_encoding, parse_page
from scraper.extraction.encoding_labels import codec_of, encoding_of


@pytest.mark.parametrize(
    ("label", "encoding"),
    [
        ("latin1", "windows-1252"),
        ("ISO-8859-1", "windows-1252"),
        ("us-ascii", "windows-1252"),
        (" UTF8\n", "utf-8"),
        ("x-sjis", "shift_jis"),
        ("gb2312", "gbk"),
        ("iso-8859-9", "windows-1254"),
        ("ks_c_5601-1987", "euc-kr"),
        ("unicode", "utf-16le"),
        ("utf-32", "utf-32le"),
    ],
)
def test_labels_mean_what_browsers_take_them_for(label: str, encoding: str) -> None:
    assert encoding_of(label) == encoding


@pytest.mark.parametrize("label", ["", "utf-7", "rot13", "base64", "idna", "hz-gb-2312", "klingon"])
def test_labels_of_no_encoding_of_pages_are_unknown(label: str) -> None:
    assert encoding_of(label) is None


def test_python_can_decode_each_encoding() -> None:
    names = [
        *("utf-8", "utf-16be", "utf-16le", "utf-32be", "utf-32le", "x-user-defined"),
        *("gbk", "gb18030", "big5", "euc-jp", "iso-2022-jp", "shift_jis", "euc-kr"),
        *("ibm866", "koi8-r", "koi8-u", "macintosh", "x-mac-cyrillic", "windows-874"),
        "iso-8859-8-i",
        *(f"windows-{number}" for number in range(1250, 1259)),
        *(f"iso-8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
    ]
    for name in names:
        assert encoding_of(name) == name
        codecs.lookup(codec_of(name))


@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        (b"\xef\xbb\xbfabc", "text/html; charset=koi8-r", "utf-8"),
        (b"\xff\xfea\0", "text/html; charset=utf-8", "utf-16le"),
        (b"\xfe\xff\0a", None, "utf-16be"),
        (b"\xff\xfe\0\0a\0\0\0", None, "utf-32le"),
        (b"\0\0\xfe\xff\0\0\0a", None, "utf-32be"),
        (b'<meta charset="utf-8">', "text/html; charset=windows-1251", "windows-1251"),
        (b'<meta charset="utf-8">', 'text/html; Charset="ISO-8859-2"; x=y', "iso-8859-2"),
        (b'<meta charset="koi8-r">', "text/html; charset=klingon", "koi8-r"),
        (b"<META CHARSET=koi8-r>", "text/html", "koi8-r"),
        (
            b'<meta content="text/html; charset=big5" http-equiv="Content-Type">',
            None,
            "big5",
        ),
        (b'<meta name="description" content="charset=koi8-r">', None, "utf-8"),
        (b'<!-- <meta charset="koi8-r"> --><meta charset="gbk">', None, "gbk"),
        (b'<meta charset="klingon"><meta charset="gbk">', None, "gbk"),
        (b'<meta charset="utf-16">', None, "utf-8"),
        (b" " * 4096 + b"<meta charset=koi8-r>", None, "utf-8"),
        (b"<?xml version='1.0' encoding='iso-8859-5'?><html>", None, "iso-8859-5"),
        ("<p>häßlich</p>".encode(), None, "utf-8"),
        ("<p>häßlich</p>".encode("latin-1"), None, "windows-1252"),
        ("<p>häßlich</p>".encode("utf-16-le"), None, "utf-16le"),
        ("<p>häßlich</p>".encode("utf-32-be"), None, "utf-32be"),
        (b"", None, "utf-8"),
        (b"", "", "utf-8"),
    ],
)
def test_encoding_is_found_in_the_order_of_the_standard(
    body: bytes, content_type: str | None, encoding: str
) -> None:
    assert detect_encoding(body, content_type) == encoding


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "Grüße – 日本語 😀"),
        ("utf-8-sig", "Grüße – 日本語 😀"),
        ("utf-16", "Grüße – 日本語 😀"),
        ("utf-32", "Grüße – 日本語 😀"),
        ("cp1252", "Grüße – “x” €"),
        ("cp1251", "Привет"),
        ("koi8-r", "Привет"),
        ("cp932", "①日本語"),
        ("euc-jp", "日本語"),
        ("gb18030", "简体中文€"),
        ("big5", "繁體中文"),
        ("cp949", "한국어똠"),
    ],
)
def test_text_and_links_of_pages_in_any_encoding_come_out_right(encoding: str, text: str) -> None:
    label = {"cp932": "shift_jis", "cp949": "euc-kr", "utf-8-sig": "utf-8"}.get(encoding, encoding)
    markup = f'<title>{text}</title><a href="/{text}">{text}</a>'
    page = parse_page(
        markup.encode(encoding),
        "https://example.com/",
        content_type=f"text/html; charset={label}",
        profile=Profile.LINKS,
    )
    assert page.title == text
    assert page.anchors == ([f"/{text}"], [text], [None])


def test_undecodable_bytes_become_replacement_characters() -> None:
    page = parse_page(
        b"<title>a\xffb \xed\xa0\x80</title>",
        "https://example.com/",
        content_type="text/html; charset=utf-8",
        profile=Profile.LINKS,
    )
    assert page.title == "a\ufffdb \ufffd\ufffd\ufffd"


def test_byte_order_mark_does_not_end_the_head() -> None:
    page = parse_page(
        b"\xef\xbb\xbf<!DOCTYPE html><html lang=de><title>x</title><p>y",
        "https://example.com/",
        content_type=None,
        profile=Profile.FULL,
    )
    assert (page.language, page.title, page.text) == ("de", "x", "y")
