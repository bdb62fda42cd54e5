"""A certificate as a page for the person concerned and for the officer: prints on A4, loads nothing, runs no script."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stedi.query.svg import escaped

_TITLES = {
    "erasure": "Certificate of erasure",
    "key_rotation": "Certificate of key rotation",
    "unlearning": "Certificate of unlearning",
}
_INTRODUCTIONS = {
    "erasure": "The personal data of the persons below was removed from this data store. This page says what was removed, "
    "how the rest was searched, and what stays. It contains no personal data. A keyed digest stands for each person: only "
    "the holder of the secret key can compute it from the e-mail address.",
    "key_rotation": "The pseudonyms in this data store were computed anew with a new secret key, and the old key was "
    "destroyed. Old pseudonyms can't be computed any more.",
    "unlearning": "The models below had learned from the data of the persons below. They were replaced by models that were "
    "trained without that data.",
}
# More lines make the page too long to hand over. The JSON file has all.
_MAX_LINES = 200
_STYLE = """@page{size:A4;margin:18mm}
body{font:11pt/1.45 Georgia,serif;color:#111;background:#fff;max-width:174mm;margin:8mm auto}
h1{font-size:20pt;margin:0 0 4mm}h2{font-size:13pt;margin:7mm 0 2mm;break-after:avoid}
table{border-collapse:collapse;width:100%;font-size:9.5pt}tr{break-inside:avoid}
th,td{text-align:left;vertical-align:top;padding:1mm 2mm;border-bottom:.2mm solid #bbb}
td.n,th.n{text-align:right}code{font:9pt monospace;overflow-wrap:anywhere}pre{font:9pt monospace;white-space:pre-wrap}
p.warn{border-left:1mm solid #111;padding-left:3mm;font-weight:bold}"""


def certificate_page(certificate: Mapping[str, Any], sha256: str) -> str:
    """Return the page of a certificate as HTML.

    Args:
        certificate: the signed content of the certificate's JSON file.
        sha256: SHA-256 of that file.
    """
    title = _TITLES[certificate["kind"]]
    return "\n".join(
        (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            f"<title>{escaped(title)} {escaped(certificate['id'])}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escaped(title)}</h1><p>{escaped(_INTRODUCTIONS[certificate['kind']])}</p>",
            *_facts(certificate),
            *_removed(certificate["removed"]),
            *_remains(certificate["remains"]),
            *_scan(certificate["scan"]),
            *_inventories(certificate["inventory"]),
            *_checking(certificate, sha256),
            "</body></html>\n",
        )
    )


def _facts(certificate: Mapping[str, Any]) -> Iterator[str]:
    times, keys = certificate["times"], certificate["keys"]
    rows: list[tuple[str, str]] = [
        ("certificate", certificate["id"]),
        *(("person (keyed digest)", subject["digest"]) for subject in certificate["subjects"]),
        ("asked by (user of the computer)", certificate["asked_by"]),
        ("asked at", times["asked"]),
        ("work began", times["began"]),
        ("work finished", times["finished"]),
        ("program", f"{certificate['program']['name']} {certificate['program']['version']}"),
        ("ID of the key of the digests", keys["suppression"]),
        *(("destroyed key", key) for key in keys["destroyed"]),
    ]
    yield _table("", ("", ""), rows)


def _removed(removed: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>What was removed</h2>"
    tables: tuple[tuple[str, tuple[str, ...], list[tuple[object, ...]]], ...] = (
        ("Rows of tables", ("table", "zone", "rows"), [(r["table"], r["zone"], r["rows"]) for r in removed["rows"]]),
        *(
            (heading, ("file", "removed", "bytes before", "bytes after", "everyone else's content"), _files(removed[key]))
            for heading, key in (("Files as received", "landing_files"), ("Files of tables", "data_files"))
        ),
        (
            "Earlier versions of tables that contained the persons",
            ("table", "rewritten", "removed"),
            [(s["table"], s["rewritten"], s["expired"]) for s in removed["snapshots"]],
        ),
        (
            "Models that learned from the persons",
            ("model", "SHA-256 before", "SHA-256 after"),
            [(m["model"], m["sha256_before"], m["sha256_after"] or "deleted") for m in removed["models"]],
        ),
        ("Other", ("what", "number"), [(o["what"], o["count"]) for o in removed["others"]]),
    )
    nothing = True
    for heading, columns, rows in tables:
        if rows:
            nothing = False
            yield _table(heading, columns, rows)
    if nothing:
        yield "<p>Nothing: no data of the persons was found.</p>"


def _files(files: Iterable[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    return [
        (
            file["file"],
            file["removed"],
            file["bytes_before"],
            file["bytes_after"] if file["replaced_by"] else "deleted",
            "unchanged" if file["checksum_before"] == file["checksum_after"] else "CHANGED",
        )
        for file in files
    ]


def _remains(remains: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "<h2>What stays</h2>"
    if remains:
        yield _table("", ("what", "why", "until"), [(r["what"], r["why"], r["until"] or "not known") for r in remains])
    yield (
        "<p>Copies outside this data store are not covered: backups, exports, results that people saved. "
        "Whoever has one must remove it there.</p>"
    )


def _scan(scan: Mapping[str, Any] | None) -> Iterator[str]:
    if scan is None:
        return
    yield "<h2>How the rest was searched</h2>"
    kinds = ", ".join(f"{kind.replace('_', ' ')}: {count:,}" for kind, count in sorted(scan["identifiers"].items()))
    yield (
        f"<p>After the removal {scan['files']:,} files with {scan['bytes_read']:,} bytes ({scan['bytes_unpacked']:,} bytes "
        f"unpacked) were searched in full for values that identify the persons ({escaped(kinds or 'none')}).</p>"
    )
    if scan["combined"]:
        yield (
            "<p>Some values belong to other people, too, such as a frequent name. They were searched for only together with "
            "the birthday in the same record.</p>"
        )
    if scan["hits"]:
        yield '<p class="warn">Identifiers were found. The erasure is not complete.</p>'
        yield _table("", ("file", "kind", "number"), [(h["file"], h["kind"], h["count"]) for h in scan["hits"]])
    else:
        yield "<p><b>No identifier was found.</b></p>"
    if scan["doubts"]:
        yield f'<p class="warn">Not everything could be searched: {len(scan["doubts"]):,} doubts.</p>'
        yield _table("", ("file", "why"), [(d["file"], d["reason"]) for d in scan["doubts"]])


def _inventories(inventory: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>All files, before and after</h2>"
    yield (
        "<p>The JSON file lists every file with its size and SHA-256. The Merkle root is one number for the whole list. "
        "It changes with any file.</p>"
    )
    rows = [
        (when, len(listed["files"]), sum(size for _, size, _ in listed["files"]), listed["root"])
        for when, listed in (("before", inventory["before"]), ("after", inventory["after"]))
        if listed
    ]
    yield _table("", ("", "files", "bytes", "Merkle root"), rows)


def _checking(certificate: Mapping[str, Any], sha256: str) -> Iterator[str]:
    fingerprint = certificate["keys"]["signing"]
    yield "<h2>How to check this certificate</h2>"
    yield (
        "<p>The JSON file is signed (Ed25519). Compare the fingerprint of the signing key with the one that the privacy "
        "officer publishes. Then run the script beside the JSON file. It needs Python and the package "
        "<code>cryptography</code>, no network, and nothing of this program:</p>"
    )
    yield f"<pre>python verify_certificate.py {escaped(certificate['id'])}.json --public-key signing.pub</pre>"
    previous = certificate["previous"]
    rows = [
        (
            "fingerprint of the signing key (SHA-256)",
            " ".join(fingerprint[n : n + 8] for n in range(0, len(fingerprint), 8)),
        ),
        ("SHA-256 of the JSON file", sha256),
        ("certificate before this one", f"{previous['id']}, SHA-256 {previous['sha256']}" if previous else "none"),
    ]
    yield _table("", ("", ""), rows)


def _table(heading: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    parts = [f"<p><b>{escaped(heading)}</b></p>"] if heading else []
    parts.append("<table>")
    if any(columns):
        parts.append(f"<tr>{''.join(f'<th>{escaped(column)}</th>' for column in columns)}</tr>")
    parts += [f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows[:_MAX_LINES]]
    parts.append("</table>")
    if (more := len(rows) - _MAX_LINES) > 0:
        parts.append(f"<p>and {more:,} more, which are in the JSON file</p>")
    return "".join(parts)


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f'<td class="n">{value:,}</td>'
    text = str(value)
    is_digest = len(text) >= 64 and " " not in text
    return f"<td>{f'<code>{escaped(text)}</code>' if is_digest else escaped(text)}</td>"
