"""Fixtures: an empty lake in S3, one after its first run, and the same in a folder."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from stedi.pipeline import RunReport
from tests.support.compare import contents
from tests.support.killing import land_first, land_more
from tests.support.lake import Lake
from tests.support.s3 import BUCKET, REGION, LakeInS3, Store, StoreCopy, new_store, set_environment


@pytest.fixture
def empty(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeInS3:
    """A lake without files."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    return LakeInS3(tmp_path)


@dataclass(frozen=True)
class FirstRun:
    """A run on the first landing files: its lake, its report, and the objects that it wrote."""

    lake: LakeInS3
    report: RunReport
    written: StoreCopy


@pytest.fixture(scope="module")
def first_run(server: tuple[str, int], tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    """A first run, once per module."""
    folder = tmp_path_factory.mktemp("first-run")
    with pytest.MonkeyPatch.context() as patch:
        set_environment(patch, folder)
        new_store(server, patch)
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        lake = LakeInS3(folder)
        land_first(lake)
        return FirstRun(lake, lake.run(), StoreCopy.take())


@pytest.fixture
def lake(first_run: FirstRun, empty: LakeInS3) -> LakeInS3:
    """A lake after its first run."""
    first_run.written.restore()
    empty.link_landing_files(first_run.lake)
    return empty


@dataclass(frozen=True)
class InFolder:
    """A lake in a folder, the reports of two runs, and the contents of the tables after each."""

    lake: Lake
    reports: list[RunReport]
    contents: list[dict[str, list[str]]]


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory: pytest.TempPathFactory) -> InFolder:
    """A lake in a folder after two runs, once per module."""
    found = InFolder(Lake(tmp_path_factory.mktemp("in-folder")), [], [])
    for land in (land_first, land_more):
        land(found.lake)
        found.reports.append(found.lake.run())
        found.contents.append(contents(found.lake))
    return found


def keys(store: Store) -> list[str]:
    """Return the keys of all objects."""
    pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]
