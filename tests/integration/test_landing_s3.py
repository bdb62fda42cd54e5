"""Landing files in S3 (a real HTTP store on this machine) are listed and read like those in a folder."""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stedi.errors import LandingError, UsageError
from stedi.ingest.landing_file import LandingFile, is_unchanged
from stedi.ingest.listing import list_files, local_copies
from stedi.tables.landing.feeds import FEEDS
from tests.support.lake import Lake, customer, distance, reading
from tests.support.s3 import BUCKET, PAGE, Store, Trouble, aws, server, store, trouble

__all__ = ["aws", "server", "store", "trouble"]


CUSTOMER, ACCELEROMETER, STEP_TRAINER = FEEDS


def names(landing: str, feed: Any = CUSTOMER) -> list[str]:
    return [file.name for file in list_files(landing, feed)]


def contents(files: list[LandingFile], scratch: Path) -> dict[str, bytes]:
    with local_copies(files, scratch) as copies:
        return {file.name: Path(file.path).read_bytes() for file in copies}


# Listing


def test_objects_are_listed_as_files_in_a_folder_are(store: Store, tmp_path: Path) -> None:
    keys = [
        *("customer/a.json", "customers/b.jsonl", "customer/2024/01/c.ndjson", "customer/d.JSON.GZ", "customer/e.jsonl.gz"),
        *(
            "customer/.hidden.json",
            "customer/.partial/e.json",
            "customer/f.csv",
            "customer/g.json.tmp",
            "customerx/h.json",
            "customer.json",
        ),
        *("accelerometer/i.ndjson.gz", "elsewhere/customer/j.json"),
    ]
    for key in keys:
        store.put(f"landing/{key}")
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")
    for marker in ("landing/", "landing/customer/", "landing/customer/folder.json/"):
        store.put(marker, b"")
    for feed in FEEDS:
        assert names(f"s3://{BUCKET}/landing", feed) == names(str(tmp_path), feed)
    listed = list_files(f"s3://{BUCKET}/landing", ACCELEROMETER)
    assert [file.path for file in listed] == [f"s3://{BUCKET}/landing/accelerometer/i.ndjson.gz"]


@pytest.mark.parametrize("landing", [f"s3://{BUCKET}", f"s3://{BUCKET}/", f"s3a://{BUCKET}", f"S3N://{BUCKET}/"])
def test_a_bucket_may_be_the_landing_place(store: Store, landing: str) -> None:
    store.put("customer/a.json")
    [file] = list_files(landing, CUSTOMER)
    assert (file.name, file.path) == ("customer/a.json", f"s3://{BUCKET}/customer/a.json")


def test_a_prefix_ends_with_a_slash_or_not_and_is_no_pattern(store: Store) -> None:
    store.put("a+b %2F/100%/customer/a.json")
    store.put("a+b %2F/100%x/customer/b.json")
    assert names(f"s3://{BUCKET}/a+b %2F/100%") == names(f"s3://{BUCKET}/a+b %2F/100%/") == ["customer/a.json"]


def test_a_key_may_begin_with_a_slash(store: Store, tmp_path: Path) -> None:
    store.put("/customer/a.json", b"slash")
    store.put("customer/a.json", b"none")
    assert contents(list_files(f"s3://{BUCKET}//", CUSTOMER), tmp_path) == {"customer/a.json": b"slash"}


def test_every_page_is_read(store: Store) -> None:
    expected = [f"accelerometer/{number:03}.json" for number in range(2 * PAGE + 5)]
    for name in expected:
        store.put(f"in/{name}")
    assert names(f"s3://{BUCKET}/in", ACCELEROMETER) == expected


def test_a_version_changes_with_the_content_and_only_then(store: Store) -> None:
    def version() -> str:
        [file] = list_files(f"s3://{BUCKET}", CUSTOMER)
        return file.version

    store.put("customer/a.json", b"one")
    first = version()
    assert version() == first
    store.put("customer/a.json", b"two")
    assert version() != first


def test_a_feed_without_objects_is_no_error_but_an_empty_prefix_is(store: Store) -> None:
    store.put("in/customer/a.json")
    assert names(f"s3://{BUCKET}/in", STEP_TRAINER) == []
    with pytest.raises(LandingError, match=rf"^landing prefix s3://{BUCKET}/im is empty; .*--landing$"):
        names(f"s3://{BUCKET}/im")


# Copying


def test_hostile_keys_keep_their_names_and_are_copied_under_ours(store: Store, tmp_path: Path) -> None:
    wanted = [
        *(
            "customer//a.json",
            "customer/ü 1+2%20.json",
            "customer/../../b.json",
            "customer/q?x=1#f.json.gz",
            "customer/😀.json",
        ),
        *("customer//etc/c.jsonl", "customer/" + "long" * 240 + ".JSON", "customer/*[d].ndjson", "customer/😀'\".json"),
    ]
    for name in wanted:
        store.put(f"in/{name}", name.encode())
    files = list_files(f"s3://{BUCKET}/in", CUSTOMER)
    assert [file.name for file in files] == sorted(wanted)
    with local_copies(files, tmp_path) as copies:
        assert {file.name: Path(file.path).read_bytes().decode() for file in copies} == {name: name for name in wanted}
        for copy in copies:
            path = Path(copy.path)
            assert path.parent.parent == tmp_path
            assert len(path.name) < 20
            assert copy.name.lower().endswith("".join(path.suffixes))
            assert is_unchanged(copy)
        assert [replace(copy, path="", is_copy=False) for copy in copies] == [replace(file, path="") for file in files]
    assert list(tmp_path.iterdir()) == []


def test_many_objects_are_copied_byte_for_byte(store: Store, tmp_path: Path) -> None:
    bodies = {f"customer/{number:02}.json": os.urandom(number * 100_000) for number in range(30)}
    for name, body in bodies.items():
        store.put(name, body)
    assert contents(list_files(f"s3://{BUCKET}", CUSTOMER), tmp_path) == bodies


def test_what_changed_or_vanished_since_it_was_listed_is_left_for_the_next_run(store: Store, tmp_path: Path) -> None:
    for name in ("changed", "kept", "vanished"):
        store.put(f"customer/{name}.json", b"before")
    files = list_files(f"s3://{BUCKET}", CUSTOMER)
    store.put("customer/changed.json", b"after!")
    store.delete("customer/vanished.json")
    assert contents(files, tmp_path) == {"customer/kept.json": b"before"}


def test_copies_are_removed_when_the_reader_fails(store: Store, tmp_path: Path) -> None:
    store.put("customer/a.json")
    files = list_files(f"s3://{BUCKET}", CUSTOMER)

    def read_and_fail() -> None:
        with local_copies(files, tmp_path) as [copy]:
            Path(copy.path).read_bytes()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        read_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_as_such(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    store.put("customer/a.json")
    files = list_files(f"s3://{BUCKET}", CUSTOMER)
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space left"), local_copies(files, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_was_listed_but_not_copied_is_not_steady(store: Store) -> None:
    store.put("customer/a.json")
    [file] = list_files(f"s3://{BUCKET}", CUSTOMER)
    assert not is_unchanged(file)


# Errors


def error(landing: str = f"s3://{BUCKET}/in", feed: Any = CUSTOMER) -> str:
    with pytest.raises(LandingError) as caught:
        list_files(landing, feed)
    message = str(caught.value)
    assert "\n" not in message
    assert "test-secret" not in message
    return message


def test_a_missing_bucket_is_named(store: Store) -> None:
    assert error("s3://no-such-bucket/in").startswith(
        "landing prefix s3://no-such-bucket/in can't be read: the bucket does not exist; check --landing"
    )


def test_missing_credentials_are_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "there are no credentials; set AWS_PROFILE" in error()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("AWS_PROFILE", "no-such-profile"), ("AWS_ENDPOINT_URL", "user:test-secret@nowhere"), ("AWS_MAX_ATTEMPTS", "many")],
)
def test_a_wrong_environment_is_told(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    assert error().startswith("S3 can't be set up (")


def test_an_endpoint_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:test-secret@127.0.0.1:1")
    assert "the connection fails; check the network and AWS_ENDPOINT_URL" in error()


def test_credentials_that_can_not_be_had_are_told(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\ncredential_process = false\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "correct the AWS credentials" in error()


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        ("403 AccessDenied", "grant s3:ListBucket on the bucket and s3:GetObject on its objects"),
        ("403 InvalidAccessKeyId", "the credentials are refused; renew them"),
        ("400 AuthorizationHeaderMalformed", "name it in AWS_DEFAULT_REGION"),
        ("418 Teapot", "AWS answers Teapot; run again"),
        ("404", "AWS answers 404; run again, and if it fails again, check AWS_ENDPOINT_URL"),
    ],
)
def test_a_refusal_says_what_to_do(trouble: Callable[[Trouble], None], answer: str, advice: str) -> None:
    trouble(lambda path: answer)
    assert advice in error()


def test_one_forbidden_object_is_named(store: Store, trouble: Callable[[Trouble], None], tmp_path: Path) -> None:
    store.put("customer/a.json")
    store.put("customer/b.json")
    files = list_files(f"s3://{BUCKET}", CUSTOMER)
    trouble(lambda path: "403 AccessDenied" if "b.json" in path else None)
    with pytest.raises(LandingError, match=f"^landing file s3://{BUCKET}/customer/b.json can't be read: access is denied"):
        contents(files, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_listing_that_fails_midway_is_tried_again_and_never_taken_for_whole(
    store: Store, trouble: Callable[[Trouble], None]
) -> None:
    expected = [f"customer/{number:03}.json" for number in range(PAGE + 1)]
    for name in expected:
        store.put(name)
    failures_left = 1

    def fails_once(path: str) -> str | None:
        nonlocal failures_left
        if "continuation-token" in path and failures_left:
            failures_left -= 1
            return "500 InternalError"
        return None

    trouble(fails_once)
    assert names(f"s3://{BUCKET}") == expected
    trouble(lambda path: "500 InternalError" if "continuation-token" in path else None)
    assert "AWS answers InternalError" in error(f"s3://{BUCKET}")


def test_a_body_that_breaks_off_is_read_again_and_never_taken_for_whole(
    store: Store, trouble: Callable[[Trouble], None], tmp_path: Path
) -> None:
    store.put("customer/a.json", b"0123456789" * 1000)
    files = list_files(f"s3://{BUCKET}", CUSTOMER)
    cuts_left = 2

    def cut_twice(path: str) -> str | None:
        nonlocal cuts_left
        cuts_left -= 1
        return "cut" if cuts_left >= 0 else None

    trouble(cut_twice)
    assert contents(files, tmp_path) == {"customer/a.json": b"0123456789" * 1000}
    trouble(lambda path: "cut")
    with pytest.raises(LandingError, match="the connection fails"):
        contents(files, tmp_path)


@pytest.mark.parametrize(
    "landing", ["s3://", "s3:///in", "s3://key:test-secret@bucket/in", "s3://bucket?x/in", "s3://b/\udcff"]
)
def test_what_is_no_prefix_is_refused_without_repeating_it(landing: str) -> None:
    with pytest.raises(UsageError, match=r"^the landing prefix is not s3://BUCKET/PREFIX") as caught:
        list_files(landing, CUSTOMER)
    assert "test-secret" not in str(caught.value)


def test_without_boto3_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import stedi.ingest.s3  # so that its absence below is undone afterwards

    monkeypatch.delattr(stedi.ingest, "s3")
    monkeypatch.delitem(sys.modules, "stedi.ingest.s3")
    monkeypatch.delattr(stedi.storage, "aws_client")
    monkeypatch.delitem(sys.modules, "stedi.storage.aws_client")
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(UsageError, match=r"^S3 support is not installed \(boto3\): "):
        list_files("s3://bucket/in", CUSTOMER)


# Folders


def test_local_files_are_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "customer" / "a.json"
    path.parent.mkdir()
    path.write_bytes(b"{}")
    files = list_files(str(tmp_path), CUSTOMER)
    with local_copies(files, tmp_path) as copies:
        assert copies == files
    assert is_unchanged(files[0])
    path.write_bytes(b"{} ")
    assert not is_unchanged(files[0])
    path.unlink()
    assert not is_unchanged(files[0])


def test_a_file_that_goes_while_the_folder_is_listed_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "customer"
    folder.mkdir()
    (folder / "kept.json").touch()
    walk = os.walk

    def late(top: Path, **options: Any) -> Iterator[Any]:
        for directory, folders, files in walk(top, **options):
            yield directory, folders, [*files, "gone.json"]

    monkeypatch.setattr(os, "walk", late)
    assert names(str(tmp_path)) == ["customer/kept.json"]


def test_links_in_circles_and_things_that_are_no_files_are_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "customer"
    folder.mkdir()
    (folder / "circle").symlink_to(folder)
    (folder / "self.json").symlink_to(folder / "self.json")
    (folder / "nowhere.json").symlink_to(folder / "nothing")
    (folder / "folder.json").mkdir()
    os.mkfifo(folder / "pipe.json")
    (folder / "a.json").touch()
    (folder / "linked.json").symlink_to(folder / "a.json")
    assert names(str(tmp_path)) == ["customer/a.json", "customer/linked.json"]


def test_names_become_safe_text_stay_apart_and_open(tmp_path: Path) -> None:
    folder = tmp_path / "customer"
    folder.mkdir()
    raw = [b"\xff.json", b"\\udcff.json", b"a\nb.json", b"a\\nb.json", "ü.json".encode()]
    for name in raw:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(name)
    files = list_files(str(tmp_path), CUSTOMER)
    assert {file.name: Path(file.path).read_bytes() for file in files} == {
        "customer/\\udcff.json": b"\xff.json",
        "customer/\\\\udcff.json": b"\\udcff.json",
        "customer/a\\nb.json": b"a\nb.json",
        "customer/a\\\\nb.json": b"a\\nb.json",
        "customer/ü.json": "ü.json".encode(),
    }
    assert all(file.name.encode().isascii() or "ü" in file.name for file in files)
    assert all(is_unchanged(file) for file in files)


@pytest.mark.parametrize("looks", [(os, "scandir", "customer"), (Path, "stat", "a.json")])
def test_a_place_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: tuple[Any, str, str]
) -> None:
    owner, function, name = looks
    allowed = getattr(owner, function)

    def deny(path: Path | str, **options: Any) -> Any:
        if Path(path).name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return allowed(path, **options)

    (tmp_path / "customer").mkdir()
    (tmp_path / "customer" / "a.json").touch()
    # Not by the file's mode: whoever runs the tests may be allowed to read everything.
    monkeypatch.setattr(owner, function, deny)
    message = error(str(tmp_path))
    assert message.startswith(f"landing path {tmp_path}/customer")
    assert f"{name} can't be read: Permission denied; grant this user read access" in message


# The whole line


def test_a_lake_fed_from_s3_equals_one_fed_from_a_folder(store: Store, new_lake: Callable[..., Lake]) -> None:
    local, remote = new_lake("local"), new_lake("remote")
    remote.settings = remote.settings.model_copy(update={"landing": f"s3://{BUCKET}/in/"})

    def land(name: str, *records: dict[str, Any]) -> None:
        body = "".join(json.dumps(record) + "\n" for record in records).encode()
        local.land(name, body)
        store.put(f"in/{name}", body)

    def both() -> list[list[tuple[Any, ...]]]:
        queries = [
            "SELECT source_file, source_position, email FROM customer_landing ORDER BY ALL",
            "SELECT feed, source_file, source_position, raw_record, reason FROM quarantine ORDER BY ALL",
            "SELECT * EXCLUDE (customer_pseudonym) FROM machine_learning_curated ORDER BY ALL",
        ]
        results = [[lake.rows(sql) for sql in queries] for lake in (local, remote) if not lake.run().failed]
        assert results[0] == results[1]
        return results[1]

    land("customers/2024/a b+c%.json", customer("a@x", 10, shares=5, serial="s1"), customer("b@x", 10, serial="s2"))
    land("accelerometer/1.jsonl", reading("a@x", 20), reading("a@x", 21), {"user": "a@x"})
    land("step_trainer/nested/1.ndjson", distance("s1", 20), distance("s1", 21))
    customers, quarantined, curated = both()
    assert (len(customers), len(quarantined), len(curated)) == (2, 1, 2)
    assert remote.run().files["customer"] == {"new": 0, "changed": 0}
    assert not list(remote.warehouse.rglob("landing-*"))

    # A repaired object replaces its rows, and a new one is added.
    land("accelerometer/1.jsonl", reading("a@x", 20), reading("a@x", 21), reading("a@x", 22))
    land("step_trainer/2.json", distance("s1", 22))
    _, quarantined, curated = both()
    assert (len(quarantined), len(curated)) == (0, 3)
