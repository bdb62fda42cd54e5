"""What S3 keeps of deleted and replaced objects: older versions, and incomplete uploads.

Nobody can tell which older versions are free of the people without reading each, so all below the lakehouse's prefixes are
deleted. Those of the suppression list and of certificates stay: they contain no personal data.
"""

from collections.abc import Iterator
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
        remains: versions that object lock protects.
    """

    versions: int = 0
    uploads: int = 0
    remains: tuple[Remains, ...] = ()


def count_old_objects(settings: Settings, started_before: datetime) -> OldObjects:
    """Count what `delete_old_objects` would delete. For the arguments see there.

    Raises:
        WarehouseError: S3 refuses or can't be reached.
    """
    versions = uploads = 0
    for place, skip in _places(settings):
        from stedi.storage import s3_versions

        versions += s3_versions.count_old_versions(place, skip=skip)
        uploads += s3_versions.count_uploads(place, started_before)
    return OldObjects(versions, uploads)


def delete_old_objects(settings: Settings, started_before: datetime) -> OldObjects:
    """Delete the older versions of all objects of the lakehouse in S3, and abort incomplete uploads.

    Args:
        settings: the settings. What is in folders has no versions.
        started_before: younger uploads go on. Their files are ingested without the people.

    Raises:
        WarehouseError: S3 refuses or can't be reached.
    """
    deleted = uploads = 0
    remains = []
    for place, skip in _places(settings):
        from stedi.storage import s3_versions

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
    return OldObjects(deleted, uploads, tuple(remains))


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


def _places(settings: Settings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the prefixes in S3, each with those below it that keep their versions."""
    folder = open_warehouse(settings.privacy_folder)
    kept = (f"{folder.path('')}/",) if is_in_s3(folder.path("")) else ()
    for place in (settings.landing, settings.warehouse):
        if is_in_s3(place):
            yield f"s3://{place.partition('://')[2].rstrip('/')}/", kept
    if kept:
        # It contains addresses, and is written again and again.
        yield folder.path(JOURNAL), ()
