"""Identifiers in any spelling are found, and those of other people that contain them are not."""

import json
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedi.model.identity import people_in, person_of
from stedi.privacy.identifiers import Identifier, patterns, person_identifiers
from stedi.privacy.scan.search import Matcher, Search, View

ANN = person_identifiers(
    "ann",
    addresses=["Ann@Example.com"],
    phones=["+1 555 123 4567"],
    names=["Ann Lee-Marchetti"],
    birthdays=["1980-02-29"],
    serials=["SN-77-0451"],
    pseudonyms=["0123456789ab" + "cdef" * 13],
)


def found(content: bytes, identifiers: tuple[Identifier, ...] = ANN, view: View = View.TEXT) -> dict[str, int]:
    search = Search(Matcher(identifiers))
    search.add_stream((content,), view)
    return {str(kind): count for kind, count in search.by_kind().items()}


def pieces(content: bytes, length: int) -> list[bytes]:
    return [content[at : at + length] for at in range(0, len(content), length)]


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        (b"ann@example.com", {"address": 1}),
        (b'{"email": "ANN@EXAMPLE.COM"}', {"address": 1}),
        (b'"Ann\\u0040Example.com"', {"address": 1}),
        (b'"Ann\\\\u0040Example.com"', {"address": 1}),
        (b'"\\u0041\\u006e\\u006e@example.com"', {"address": 1}),
        (b"ann%40example.com", {"address": 1}),
        (b"ann&#64;example.com ann&#x40;example.com ann&commat;example.com", {"address": 3}),
        (b"ann\\x40example.com", {"address": 1}),
        ("ann@example.com".encode("utf-16-le"), {"address": 1}),
        ("ANN@example.com".encode("utf-16-be"), {"address": 1}),
        (b"mailto:ann@example.com?subject=x", {"address": 1}),
        (b"Ann Lee <ann@example.com>.", {"address": 1}),
        (b"line\\nann@example.com\\n", {"address": 1}),
        ("“ann@example.com”".encode(), {"address": 1}),
        (b"tel:+1 555 123 4567, 15551234567", {"phone": 2}),
        (b"ANN LEE-MARCHETTI", {"name": 1}),
        (b"sn-77-0451", {"serial": 1}),
        (b"customer 0123456789ab\xe2\x80\xa6", {"short_pseudonym": 1}),
        (b"0123456789ab" + b"cdef" * 13, {"pseudonym": 1, "short_pseudonym": 1}),
    ],
)
def test_spellings_are_found(content: bytes, kinds: dict[str, int]) -> None:
    assert found(content) == kinds


@pytest.mark.parametrize(
    "content",
    [
        b"joann@example.com",
        b"jo.ann@example.com",
        b"ann@example.com.au",
        b"ann@example.community",
        b"ann@example.com-x.org",
        b"jo\\u0061nn@example.com",
        b"joann%40example.com",
        "éann@example.com".encode(),
        "joann@example.com".encode("utf-16-le"),
        "joann@example.com".encode("utf-16-be"),
        b"0555123456789 15551234567890",
        b"SN-77-04511",
        b"1980-02-29",
        b"ann@example. com",
    ],
)
def test_values_of_others_are_not_found(content: bytes) -> None:
    assert found(content) == {}


def test_punycode_and_unicode_domains_are_the_same() -> None:
    for received in ("ann@bücher.de", "ann@xn--bcher-kva.de"):
        identifiers = person_identifiers("ann", addresses=[received])
        for content in (
            "ann@BÜCHER.de",
            "ann@xn--bcher-kva.de",
            "ann@bu\u0308cher.de",
            "ann@b\\u00fccher.de",
            "ann@b%c3%bccher.de",
        ):
            assert found(content.encode(), identifiers) == {"address": 1}, (received, content)


def test_quoted_local_parts_are_found_in_json() -> None:
    identifiers = person_identifiers("ann", addresses=['"ann lee"@example.com'])
    assert found(json.dumps({"email": '"Ann Lee"@example.com'}).encode(), identifiers) == {"address": 1}


def test_name_and_birthday_count_only_in_one_record() -> None:
    ann = person_identifiers("ann", names=["Ann Lee"], birthdays=["1980-02-29"], shared={"Ann Lee"})
    assert found(b'{"customerName": "Ann Lee",\n "birthDay": "1980-02-29"}', ann) == {"name": 1, "birthday": 1}
    assert found(b'{"customerName": "Ann Lee"}{"birthDay": "1980-02-29"}', ann) == {}
    assert found(b'{"customerName": "Ann Lee"}', ann) == {}
    other = person_identifiers("bob", names=["Bob Ray"], birthdays=["1980-02-29"], shared={"Bob Ray"})
    assert found(b'{"customerName": "Ann Lee", "birthDay": "1980-02-29"}', (*ann[:1], *other[1:])) == {}


def test_a_name_of_one_word_a_shared_and_a_short_value_are_not_demanded_absent() -> None:
    identifiers = person_identifiers("ann", names=["Annabella"], phones=["12345"], serials=["SN-1234"], shared=["SN-1234"])
    assert [identifier.demanded_absent for identifier in identifiers] == [False, False, False]
    assert found(b"Annabella 12345 SN-1234", identifiers) == {}


def test_representations_show_no_value() -> None:
    assert "example" not in repr(ANN) + repr(list(patterns(ANN[0])))


@pytest.mark.parametrize("length", [1, 7, 4_000, 10_000])
def test_values_at_the_ends_of_pieces_are_found_once(length: int) -> None:
    content = b" ".join(
        (b"x" * 5_000, b"ann@example.com", b"y" * 9_000, b"ann\\u0040example.com", b"z" * 3_000, b"jo%61nn@example.com")
    )
    search = Search(Matcher(ANN))
    search.add_stream(pieces(content, length), View.TEXT)
    assert search.by_kind() == {"address": 2}
    assert search.unpacked == len(content)


@given(st.integers(0, 4_200), st.integers(1, 5_000))
def test_a_value_is_found_once_wherever_it_is(position: int, length: int) -> None:
    content = b"-%-" * (position // 3) + b" ann%40example.com ann@example.com " + b"/%" * 3_000
    search = Search(Matcher(ANN))
    search.add_stream(pieces(content, length), View.TEXT)
    assert search.by_kind() == {"address": 2}


def test_values_next_to_each_other_are_searched_one_by_one() -> None:
    values = [
        b"joann@example.com",
        b"ann@example.com",
        b"x",
        b"",
        b"ann@",
        b"example.com",
        b'{"a": "ann\\u0040example.com"}',
        b"nn",
    ]
    offsets = np.array([0, *np.cumsum([len(value) for value in values])])
    search = Search(Matcher(ANN))
    assert search.add_values(memoryview(b"".join(values)), offsets) == {}
    assert search.by_kind() == {"address": 2}


def test_places_of_values_that_count_only_together() -> None:
    values = [b"1980-02-29", b"1981-01-01", b"born 1980-02-29"]
    offsets = np.array([0, *np.cumsum([len(value) for value in values])])
    search = Search(Matcher(ANN))
    [(number, rows)] = search.add_values(memoryview(b"".join(values)), offsets).items()
    assert (ANN[number].kind, rows) == ("birthday", [0, 2])


def long_address(length: int) -> str:
    return "a" * (length - len("@example.com")) + "@example.com"


@pytest.mark.parametrize("length", [13, 24, 48, 63, 64, 100])
@pytest.mark.parametrize(
    "prefix",
    [
        lambda n: bytes([n & 0x7F | 0x80, n >> 7]) if n > 127 else bytes([n]),
        lambda n: bytes([2 * n & 0x7F | 0x80, 2 * n >> 7]) if n > 63 else bytes([2 * n]),
        lambda n: n.to_bytes(4, "little"),
    ],
    ids=["base 128", "zigzag", "four bytes"],
)
def test_lengths_in_front_of_values_are_no_part_of_them(length: int, prefix: Callable[[int], bytes]) -> None:
    address = long_address(length)
    identifiers = person_identifiers("a", addresses=[address])
    other = b"jo" + address.encode()
    # What follows may look like a part of the domain.
    assert found(b"\x02name" + prefix(length) + address.encode() + b"2\x00\x01", identifiers, View.BINARY) == {"address": 1}
    assert found(b"\x02name" + prefix(length + 2) + other + b"2\x00\x01", identifiers, View.BINARY) == {}


def test_pages_without_lengths_are_explained_by_values_of_others() -> None:
    page = b"\x00\x07Leejoann@example.com5551\x00"
    assert found(page, view=View.PAGES) == {"address": 1}
    search = Search(Matcher(ANN))
    search.add_stream((page,), View.PAGES)
    search.add_stream((b"joann@example.com",), View.TEXT)
    assert search.by_kind() == {}
    # Somebody else's value beside it does not explain the own one.
    search.add_stream((b"\x00joann@example.comann@example.comx\x00",), View.PAGES)
    search.add_stream((b"joann@example.com",), View.TEXT)
    assert search.by_kind() == {"address": 1}


def test_cut_bounds_of_manifests_are_found() -> None:
    ann = person_identifiers("ann", addresses=["annabella@example.com"])
    lower, upper, other = b"\x20annabella@exampl", b"\x20annabella@exampm", b"\x20annabello@exampl"
    assert found(b"\x00" + lower + b"x", ann, View.BINARY) == {"address": 1}
    assert found(b"\x00" + upper + b"x", ann, View.BINARY) == {"address": 1}
    assert found(b"\x00" + other + b"x", ann, View.BINARY) == {}
    assert found(b"annabella@example.org", ann) == {}


LETTERS = st.sampled_from("abcxyz019_+.-é")
ADDRESSES = st.builds(
    lambda local, domain: f"{local}@{domain}",
    st.text(LETTERS, min_size=1, max_size=8),
    st.lists(st.text(st.sampled_from("abcü01"), min_size=1, max_size=5), min_size=2, max_size=3).map(".".join),
)


@given(
    ADDRESSES,
    st.sampled_from(["plain", "upper", "json", "percent", "utf-16", "canonical"]),
    st.sampled_from([" ", '"', "<", "\n", ","]),
)
def test_every_spelling_of_every_address_is_found(address: str, spelling: str, beside: str) -> None:
    written = {
        "plain": address,
        "upper": address.upper(),
        "json": json.dumps(address).replace("@", "\\u0040"),
        "percent": quote(address),
        "utf-16": address,
        "canonical": person_of(address),
    }[spelling]
    content = f"{beside}{written}{beside}".encode("utf-16-le" if spelling == "utf-16" else "utf-8")
    assert found(content, person_identifiers("x", addresses=[address])).get("address")


@given(ADDRESSES, ADDRESSES, st.sampled_from(["", "x", ".", "-", "é", " "]), st.sampled_from(["", "x", ".a", "-", " "]))
def test_the_search_agrees_with_the_reader(wanted: str, other: str, before: str, after: str) -> None:
    """The scan finds an address in a text where the landing reader would find it, too."""
    for text in (f" {before}{wanted}{after} ", f" {other} {before}{wanted} ", f" {other} "):
        people = people_in(text)
        if person_of(wanted) in people:
            assert found(text.encode(), person_identifiers("x", addresses=[wanted])), text


def test_identifiers_of_many_people_are_independent() -> None:
    people = [person_identifiers(str(n), addresses=[f"p{n}@example.com"]) for n in range(300)]
    identifiers = tuple(identifier for person in people for identifier in person)
    text = b" ".join(f"p{n}@example.com".encode() for n in range(0, 400, 2))
    assert found(text, identifiers) == {"address": 150}
    assert all(one < two for one, two in pairwise(sorted({identifier.subject for identifier in identifiers})))
