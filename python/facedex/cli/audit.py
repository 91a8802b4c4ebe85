"""The commands about the audit: list, verify, sign, export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .documents import to_json
from .opening import Target, command
from .output import NO, Output, pluralize, print_line, print_table

if TYPE_CHECKING:
    from ..records import AuditEvent, AuditReport

audit = typer.Typer(help="Show who did what to whom and when, and check that it was not altered.")

RecordedHeadOption = Annotated[
    str | None,
    typer.Option(
        "--recorded-head",
        metavar="NUMBER:DIGEST",
        help="A head that was printed before and stored elsewhere: detects a chain that was rewritten since.",
    ),
]


@audit.command("list")
@command
def audit_list(
    target: Target,
    after: Annotated[int, typer.Option("--after", min=0, metavar="NUMBER", help="Only entries after this one.")] = 0,
    person: Annotated[
        str | None, typer.Option("--person", metavar="ID", help="Only entries about this person.")
    ] = None,
) -> Output:
    """Show the entries of the audit, oldest first. Deleted people are not named."""
    with target.open() as gallery:
        events = [
            event for event in gallery.audit(after=after) if person is None or str(event.person_id or "") == person
        ]

    def show() -> None:
        columns = ["entry", "time (UTC)", "actor", "what", "person", "similarity", "threshold"]
        print_table(columns, [_cells(event) for event in events], right="entry,similarity,threshold")
        print_line(pluralize(len(events), "entry", "entries"))

    return Output({"events": events}, show)


@audit.command("verify")
@command
def audit_verify(
    target: Target,
    recorded_head: RecordedHeadOption = None,
    require_signature: Annotated[
        bool,
        typer.Option(
            "--key", help="Require a signature with FACEDEX_AUDIT_KEY, or FACEDEX_KEY of an encrypted gallery."
        ),
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Check a file written by 'audit export', without a database."),
    ] = None,
) -> Output:
    """Check the chain of the audit. Exit code 1: it names the first entry that is altered, missing, moved or added."""
    if export is not None:
        return _report_output(_check_exported(export, recorded_head, require_signature))
    with target.open() as gallery:
        return _report_output(gallery.check_audit(recorded_head=recorded_head, require_signature=require_signature))


@audit.command("seal", hidden=True)  # the name before 0.1.0
@audit.command("sign")
@command
def audit_sign(target: Target, recorded_head: RecordedHeadOption = None) -> Output:
    """Sign an audit whose entries were written without the key. First check its head against one that you recorded."""
    with target.open() as gallery:
        return _report_output(gallery.sign_audit(recorded_head=recorded_head))


@audit.command("export")
@command
def audit_export(
    target: Target,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; only its owner can read it.")],
) -> Output:
    """Write the audit to a file for 'audit verify --export', signed if there is a key."""
    with target.open() as gallery:
        size = gallery.export_audit(file)
        signed = gallery.check_audit().signed is not None
    sentence = f"wrote {size} bytes to {file}, " + ("signed" if signed else "NOT signed: there is no key")
    return Output({"file": file, "bytes": size, "signed": signed}, lambda: print_line(sentence))


def _check_exported(path: Path, recorded_head: str | None, require_signature: bool) -> AuditReport:
    from ..config import settings
    from ..errors import ArgumentError
    from ..store import Head, Vault, audit_key, check_export

    key = settings().key
    report = check_export(
        path,
        lambda gallery: audit_key(gallery, None if key is None else Vault(key, gallery)),
        Head.parse(recorded_head),
    )
    if require_signature and report.signed is None and report.intact:
        raise ArgumentError("the signature can be checked only with the key; set FACEDEX_AUDIT_KEY")
    if require_signature and report.intact and not report.signed:
        return replace(report, first_bad=1, reason="it is not signed with this key, or was rewritten without it")
    return report


def _report_output(report: AuditReport) -> Output:
    """Describe the result of a check, with exit code 1 if the chain is damaged."""
    head = f"{report.entries}:{report.head}" if report.entries else None
    sentence = f"DAMAGED: {report.reason}"
    if report.intact:
        signed = {True: ", signed with the key", False: ", NOT signed with the key", None: ""}[report.signed]
        sentence = (
            f"intact: {pluralize(report.entries, 'entry', 'entries')}" + (f", head {head}" if head else "") + signed
        )
    content = {"intact": report.intact} | to_json(report) | {"head": head}
    return Output(content, lambda: print_line(sentence), 0 if report.intact else NO)


def _cells(event: AuditEvent) -> list[str]:
    unnamed = event.erased or event.kind == "delete"
    person = "(deleted)" if unnamed else "" if event.person_id is None else str(event.person_id)
    scores = ["" if score is None else f"{score:.3f}" for score in (event.similarity, event.threshold)]
    return [str(event.seq), f"{event.at:%Y-%m-%d %H:%M:%S}", event.actor or "", event.kind, person, *scores]
