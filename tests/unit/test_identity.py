"""Who is meant by a spelling of an address, and which device by one of a serial number."""

import unicodedata

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stedi.model.identity import (
    NotOneAddressError,
    device_of,
    identity_of,
    is_plain_address,
    is_plain_serial,
    people_in,
    person_of,
)

SPELLINGS = {
    "ann@x.org": [
        "ann@x.org",
        " Ann@X.org\t",
        "\u3000ann@x.org\u00a0",
        "\ufeffann@x.org",
        "a\u200bn\u00adn@x\u2060.org",
        "ann\ufe0f@x.org",
        "ann@x.org\x00",
        "ａｎｎ＠ｘ．ｏｒｇ",
        "ann@x。org",
        "ann @ x.org",
        "ann@x.org.",
        "mailto:ann@x.org",
        "MAILTO:Ann%40X.org?subject=a@b",
        "Ann Lee <ann@x.org>",
        '"Lee, Ann (old@x.org)" <ann@x.org>',
        "Ann <mailto:ann@x.org>",
        "<ann@x.org>",
        "ann@x.org (Ann Lee)",
        '"ann"@x.org',
        "Ann <ann@x.org>, <ANN@x.org>",
    ],
    "zoé@x.org": ["zoé@x.org", unicodedata.normalize("NFD", "zoé@x.org"), "ZOÉ@X.ORG"],
    "fin@x.org": ["ﬁn@x.org", "ﬁN@x.org"],
    "strasse@x.org": ["straße@x.org", "STRASSE@x.org", "straẞe@x.org"],
    "i\u0307pek@x.org": ["İpek@x.org", "i\u0307pek@x.org"],
    "σασ@x.org": ["ΣΑΣ@x.org", "σας@x.org"],
    "a@xn--bcher-kva.de": ["a@bücher.de", "a@BÜCHER.de", "a@xn--bcher-kva.de", "a@XN--BCHER-KVA.DE"],
    "a@strasse.de": ["a@straße.de", "a@xn--strae-oqa.de", "a@strasse.de"],
    "ann lee": ["Ann  Lee", " ann lee"],
}
DIFFERENT = ["ann@x.org", "an.n@x.org", "ann+1@x.org", "ann@y.org", "ann@sub.x.org", "anne@x.org", '"an n"@x.org']


@pytest.mark.parametrize("person", SPELLINGS)
def test_all_spellings_of_an_address_are_one_person(person: str) -> None:
    assert {spelling: person_of(spelling) for spelling in SPELLINGS[person]} == dict.fromkeys(SPELLINGS[person], person)


def test_different_local_parts_and_domains_are_different_people() -> None:
    assert len({person_of(address) for address in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize("nobody", ["", " ", "\u200b", "\ufeff \t", "\x00"])
def test_what_nobody_can_see_is_nobody(nobody: str) -> None:
    assert person_of(nobody) == ""
    assert identity_of("person", nobody) is None


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("ann@x.org, bob@x.org", {"ann@x.org", "bob@x.org"}),
        ("Ann <ann@x.org>; Bob <bob@x.org>", {"ann@x.org", "bob@x.org"}),
        ("Ann Lee ann@x.org", {"ann@x.org"}),
        ("an n@x.org", {"n@x.org"}),
        ("write to ＡＮＮ＠x.org", {"ann@x.org"}),
        ("a@x.org " + "b" * 3_000, {"a@x.org"}),
    ],
)
def test_what_is_not_one_address_is_nobody_and_its_people_are_legible(text: str, people: set[str]) -> None:
    with pytest.raises(NotOneAddressError):
        person_of(text)
    assert identity_of("person", text) is None
    assert people_in(text) == people


def test_an_ascii_domain_that_decodes_to_another_address_stays_what_it_is() -> None:
    disguised = "x．org".encode("punycode").decode()
    assert person_of(f"ann@xn--{disguised}") == f"ann@xn--{disguised}"


def test_spellings_of_a_serial_number_are_one_device() -> None:
    spellings = ["50F7B4F3-7af5", " 50f7b4f3-7af5\n", "50f7b4f3-7af5\u200b", "５０f7b4f3-7af5"]
    assert {device_of(spelling) for spelling in spellings} == {"50f7b4f3-7af5"}
    assert device_of("dev 1") != device_of("dev1")


# Letters, signs of addresses, white space, invisible and composing characters, and pieces of longer forms.
TEXTS = st.one_of(
    st.text(max_size=12),
    st.lists(
        st.sampled_from([*'aAÉéßςİıﬁ＠@.<>()",;: -\t\u200b\ufeff\u0301\u3002%', "mailto:", "xn--", "x.org", "bcher-kva"]),
        max_size=8,
    ).map("".join),
)


@given(TEXTS)
@example("a@x.\u3002\u3002")
def test_resolving_what_was_resolved_changes_nothing(text: str) -> None:
    device = device_of(text)
    assert device_of(device) == device
    person = identity_of("person", text)
    assert person is None or identity_of("person", person) == person


@given(
    TEXTS.filter(
        lambda text: not any(unicodedata.category(c) in ("Cc", "Cs") and c != "\x7f" for c in text) and "\\" not in text
    )
)
def test_what_sql_takes_for_plain_is_what_python_makes_of_it(text: str) -> None:
    if not text.strip() or '"' in text:
        # The reader looks into blank texts, and JSON spells a quotation mark with a backslash.
        return
    query = f"SELECT {is_plain_address('t')}, {is_plain_serial('t')}, lower(t) FROM (SELECT $1 AS t) AS texts"
    [(is_address, is_serial, lower)] = duckdb.execute(query, [text]).fetchall()
    if is_address:
        assert identity_of("person", text) == lower
    if is_serial:
        assert identity_of("device", text) == lower


@given(st.lists(st.sampled_from(["ann@x.org", "bob@y.org", "word", "a@b@c"]), max_size=8).map(" ".join), st.data())
def test_pieces_that_overlap_have_the_addresses_of_the_whole_and_no_others(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    overlap = data.draw(st.integers(min(at + 12, len(text)), len(text)))
    first = people_in(text[:overlap], is_cut_after=overlap < len(text))
    assert first | people_in(text[at:], is_cut_before=at > 0) == people_in(text)
