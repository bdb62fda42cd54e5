"""Build a release: the wheel and the job scripts that Glue runs."""

import base64
import csv
import hashlib
from importlib.metadata import distribution
from io import BytesIO, StringIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from stedi import __version__
from stedi.aws.jobs import JOBS, script

_METADATA = ("METADATA", "WHEEL", "entry_points.txt")


def release_files() -> dict[str, bytes]:
    """Return the content of each file by its name in the release: the wheel first, then one script per job."""
    return {
        f"stedi-{__version__}-py3-none-any.whl": _wheel(),
        **{f"jobs/{job.name}.py": script(job).encode() for job in JOBS},
    }


def release_name(files: dict[str, bytes]) -> str:
    """Return the name of a release: 16 hexadecimal digits of its checksum."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _wheel() -> bytes:
    """Pack the installed package as a wheel; the same files give the same bytes."""
    package = Path(__file__).parents[1]
    modules = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    content = {f"stedi/{path.relative_to(package).as_posix()}": path.read_bytes() for path in sorted(modules)}
    folder = f"stedi-{__version__}.dist-info"
    installed = distribution("stedi")
    content |= {f"{folder}/{name}": (installed.read_text(name) or "").encode() for name in _METADATA}
    content[f"{folder}/RECORD"] = _record(content, f"{folder}/RECORD")
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, data in content.items():
            # A fixed time stamp and mode, so that equal files give an equal wheel.
            info = ZipInfo(name)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data, ZIP_DEFLATED)
    return buffer.getvalue()


def _record(content: dict[str, bytes], own_name: str) -> bytes:
    """Return the wheel's RECORD: checksum and size of every file."""
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        rows.writerow((name, f"sha256={digest}", len(data)))
    rows.writerow((own_name, "", ""))
    return text.getvalue().encode()
