"""What S3 keeps beside the current objects: older versions, incomplete uploads, and copies outside of the lakehouse.

Nobody can tell which older versions are free of the people without reading each, so all below the lakehouse's prefixes are
deleted. Those of the suppression list and of certificates stay: they contain no personal data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from stedi.config import Settings
from stedi.ingest.listing import is_in_s3
from stedi.privacy.erasure.plan import Remains
from stedi.privacy.erasures import JOURNAL
from stedi.storage import Warehouse, open_warehouse


@dataclass(frozen=True)
class OldObjects:
    """Older versions and incomplete uploads.

    Attributes:
        versions: older versions and delete markers of objects.
        uploads: incomplete multipart uploads.
        copies: objects with copies of rows, outside of the lakehouse.
        remains: versions that object lock protects.
    """

    versions: int = 0
    uploads: int = 0
    copies: int = 0
    remains: tuple[Remains, ...] = ()


def count_old_objects(settings: Settings, started_before: datetime, copies: Sequence[str] = ()) -> OldObjects:
    """Count what `delete_old_objects` would delete. For the arguments see there.

    Raises:
        WarehouseError: S3 refuses or can't be reached.
    """
    versions = uploads = objects = 0
    for place, skip in _places(settings, copies):
        from stedi.storage import s3_versions

        objects += s3_versions.count_objects(place) if place in copies else 0
        versions += s3_versions.count_old_versions(place, skip=skip)
        uploads += s3_versions.count_uploads(place, started_before)
    return OldObjects(versions, uploads, objects)


def delete_old_objects(settings: Settings, started_before: datetime, copies: Sequence[str] = ()) -> OldObjects:
    """Delete the older versions of all objects of the lakehouse in S3, abort incomplete uploads, and delete copies.

    Args:
        settings: the settings. What is in folders has no versions.
        started_before: younger uploads go on. Their files are ingested without the people.
        copies: `s3://bucket/prefix/` of copies of rows, such as query results. All objects below are deleted.

    Raises:
        WarehouseError: S3 refuses or can't be reached.
    """
    deleted = uploads = objects = 0
    remains = []
    for place, skip in _places(settings, copies):
        from stedi.storage import s3_versions

        objects += s3_versions.delete_objects(place) if place in copies else 0
        uploads += s3_versions.abort_uploads(place, started_before)
        found = s3_versions.delete_old_versions(place, skip=skip)
        deleted += found.deleted
        if found.locked:
            end = f"{found.locked_until:%Y-%m-%d %H:%M} UTC" if found.locked_until else "the legal hold is removed"
            remains.append(
                Remains(
                    f"older versions of objects below {place}",
                    found.locked,
                    f"object lock protects them until {end}; then erase the same people again",
                )
            )
    return OldObjects(deleted, uploads, objects, tuple(remains))


def delete_for_good(folder: Warehouse, name: str) -> None:
    """Delete a file of the privacy folder, with all versions of it in S3. A missing file is no error.

    Raises:
        WarehouseError: it can't be deleted.
    """
    if is_in_s3(folder.path("")):
        from stedi.storage import s3_versions

        s3_versions.delete_with_versions(folder.path(name))
    else:
        folder.delete(name)


def _places(settings: Settings, copies: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the prefixes in S3, each with those below it that keep their versions."""
    folder = open_warehouse(settings.privacy_folder)
    kept = (f"{folder.path('')}/",) if is_in_s3(folder.path("")) else ()
    for place in (settings.landing, settings.warehouse):
        if is_in_s3(place):
            yield f"s3://{place.partition('://')[2].rstrip('/')}/", kept
    yield from ((place, ()) for place in copies)
    if kept:
        # It contains addresses, and is written again and again.
        yield folder.path(JOURNAL), ()
