"""Compute a table, or what changes of its inputs reach, check it, and commit the rows that differ."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from stedi.catalog import Commit, Snapshot
from stedi.compute import Change, Engine, delta_relations
from stedi.model.table import DataFiles, Table, WrittenFile
from stedi.pipeline.checks import check, moved_on, warnings
from stedi.pipeline.draft import Store
from stedi.pipeline.landing import reject_files
from stedi.pipeline.report import TableReport
from stedi.tables.landing import quarantine
from stedi.tables.registry import BY_NAME


def fingerprint(table: Table, store: Store, parameters: Mapping[str, str | bytes]) -> dict[str, Any]:
    """What a table's content follows from: its declaration, its parameters, its inputs' rows."""
    definition = repr((table.query, table.columns, table.rules, table.scope))
    values = repr([(name, parameters[name]) for name in sorted(table.parameters)])
    inputs = {name: snapshot.version if (snapshot := store.snapshot(name)) else None for name in table.inputs}
    # Rejects lie in files that landing commits name; the landing rows say nothing of them.
    marks = {name: store.latest_mark(name) for name in table.rejects_of}
    rejects = {name: _digest(repr(mark.reflects["rejects"])) if mark else None for name, mark in marks.items()}
    return {"definition": _digest(definition), "parameters": _digest(values), "inputs": inputs, "rejects_of": rejects}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def staleness_reason(snapshot: Snapshot | None, sources: Mapping[str, Any]) -> str | None:
    """Why a table has to be refreshed, or None where it is up to date."""
    if snapshot is None:
        return "first run"
    if not snapshot.is_ours:
        return "another writer changed it"
    seen = snapshot.reflects
    if seen["definition"] != sources["definition"]:
        return "its definition changed"
    if seen["parameters"] != sources["parameters"]:
        return "the consent policy, the confidence of owners, the tolerance of pairs or the pseudonym key changed"
    changed = dict.fromkeys(
        name
        for kind in ("inputs", "rejects_of")
        for name, version in sources[kind].items()
        if seen[kind].get(name) != version
    )
    return f"{', '.join(changed)} changed" if changed else None


def refresh(
    table: Table,
    store: Store,
    start_engine: Callable[[], Engine],
    run_id: str,
    parameters: Mapping[str, str | bytes],
    *,
    cached_deltas: dict[str, str],
    full_refresh: bool = False,
) -> TableReport:
    """Bring a derived table up to date; `full_refresh` writes all of it again, whatever stands there.

    `cached_deltas` names the tables whose differences the engine still holds, each with the version
    from which the difference starts; this table is added to it.
    """
    snapshot = store.snapshot(table.name)
    sources = fingerprint(table, store, parameters)
    reason = "asked for" if full_refresh and snapshot else staleness_reason(snapshot, sources)
    if snapshot is not None and reason is None:
        return TableReport("up to date", snapshot.rows, snapshot_id=snapshot.id)
    engine = start_engine()
    for name in table.inputs:
        engine.register_files(BY_NAME[name], store.files(name))
    if table.rejects_of:
        paths = [path for name in table.rejects_of for path in reject_files(store, BY_NAME[name]).paths]
        engine.register_files(quarantine.TABLE, DataFiles(tuple(paths)), view="rejects")
    files = store.files(table.name)
    report = TableReport("refreshed", snapshot.rows if snapshot else 0, reason=reason or "")
    reflects = {"run_id": run_id, **sources}
    if full_refresh or not files:
        return _rebuild(table, store, engine, report, reflects, files)
    try:
        changes = _changes(table, store, snapshot, sources, cached_deltas)
        if table.scope is not None and changes is not None and snapshot is not None:
            candidate, current = engine.compute_affected(table, table.scope, files, changes)
            found = check(table, candidate, engine.select)
            # The current rows are counted against the inputs as they were when those rows were
            # made, so what is taken off is what was once added.
            doubted = warnings(table)
            asked = [c for c in changes if any(c.table.name in (rule.violations or "") for rule in doubted)]
            for change in asked:
                engine.register_files(change.table, change.before)
            gone = check(table, current, engine.select, doubted) if doubted else []
            for change in asked:
                engine.register_files(change.table, change.now)
            report.results = moved_on(table, snapshot.rows, snapshot.reflects["rules"], found, gone)
            before = snapshot.rows
        else:
            candidate = engine.compute(table, engine.bound(table.query))
            current = engine.read_current(table, files)
            report.results = check(table, candidate, engine.select)
            before = engine.rows(current)
        if report.breaks_a_rule:
            report.status = "failed"
            return report
        difference = engine.difference(table, candidate, current)
        report.people = engine.people(table, delta_relations(table))
        report.added, report.removed = difference.added, difference.removed
        report.rows = before + difference.added - difference.removed
        folder = store.data_folder(table)
        written = engine.write_difference(table, difference, files, folder) if report.added or report.removed else []
        done = _commit(table, store, report, reflects, written, difference.touched_files)
        if snapshot is not None:
            cached_deltas[table.name] = snapshot.version
        return done
    finally:
        engine.forget_candidate(table)


def _rebuild(
    table: Table, store: Store, engine: Engine, report: TableReport, reflects: dict[str, Any], files: DataFiles
) -> TableReport:
    """Write a whole table straight to its files, and publish them only when the rules hold."""
    query = engine.bound(table.query)
    # The file of a table without rows is named by nothing. Tables without a scope are small, so they are counted first.
    is_empty = table.scope is None and engine.select(f"SELECT count(*) AS n FROM ({query}) AS rows")[0]["n"] == 0
    written = [] if is_empty else engine.write(table, query, store.data_folder(table), sort_by=table.sort_by)
    draft = engine.register_files(table, DataFiles(tuple(file.path for file in written)), view=f"draft_{table.name}")
    report.results = check(table, draft, engine.select)
    if report.breaks_a_rule:
        report.status = "failed"
        store.discard(written)
        return report
    report.added, report.removed = engine.rows(draft), report.rows
    report.rows = report.added
    report.people = engine.people(table, [draft])
    return _commit(table, store, report, reflects, written, files.paths)


def _commit(
    table: Table,
    store: Store,
    report: TableReport,
    reflects: dict[str, Any],
    written: list[WrittenFile],
    removed: tuple[str, ...],
) -> TableReport:
    reflects |= {"rows": report.rows, "rules": {result.rule: result.failed for result in report.results}}
    report.snapshot_id = store.commit(table, Commit(written, removed, reflects, reflects["run_id"])).id
    return report


def _changes(
    table: Table, store: Store, snapshot: Snapshot | None, sources: Mapping[str, Any], cached_deltas: Mapping[str, str]
) -> list[Change] | None:
    """The inputs now and as the table last read them, or None where it has to be computed whole."""
    if snapshot is None or not snapshot.is_ours or table.scope is None:
        return None
    seen = snapshot.reflects
    if (seen["definition"], seen["parameters"]) != (sources["definition"], sources["parameters"]):
        return None
    changes = []
    for name in table.inputs:
        before = DataFiles()
        if seen["inputs"][name] is not None:
            earlier = store.snapshot_of_version(name, seen["inputs"][name])
            if earlier is None:
                return None
            before = store.files(name, earlier.id)
        is_cached = name in cached_deltas and cached_deltas[name] == seen["inputs"][name]
        changes.append(Change(BY_NAME[name], store.files(name), before, is_cached))
    return changes
