"""`ochy subjects`: the runners that analyses can be linked to.

Invariant: personal data is printed on stdout only, and nothing is created or deleted twice.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from ...errors import InvalidRequest
from ...protocol.subjects import Subject
from ..api_call import call_options, doubted, perform
from ..connection import Account
from ..display.json_lines import print_records, record
from ..display.reporter import draw, inform
from ..display.tables import NOTHING, Sheet, format_number, printable
from ..groups import Group
from ..quoting import command_line
from ..request_options import Measure, flagged, refuse

__all__ = ["command"]

_NONE: Final = "The account has no subjects. To create one: ochy subjects create --name NAME"
_CREATED: Final = (
    "The subject may have been created all the same, and is not created again. "
    "`ochy subjects list` shows whether it was."
)
_DELETED: Final = "The subject may have been deleted all the same. `ochy subjects list` shows whether it was."

_ID: Final = click.argument("subject_id", metavar="ID")
_PROFILE: Final = (
    click.option("--name", help="The runner's name."),
    click.option("--email", help="The runner's email address."),
    click.option("--height", type=Measure("height"), metavar="METERS", help="Such as 1.75 or '175 cm'."),
    click.option("--weight", type=Measure("weight"), metavar="KG", help="Such as 68 or '150 lb'."),
)
_FIELDS: Final = ("name", "email", "height", "weight")


def _profile_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_PROFILE):
        command = option(command)
    return command


@click.group("subjects", cls=Group)
def command() -> None:
    """List, show, create, change and delete subjects: runners that analyses are linked to.

    \b
    Example:
      ochy subjects create --name "Ada Lovelace" --height 1.75 --weight 68
    """


@command.command("list")
@call_options
def list_command(as_json: bool, **account: Any) -> None:
    """List all subjects but the deleted ones.

    \b
    Example:
      ochy subjects list --json
    """
    subjects = perform(Account(**account), lambda ochy: ochy.list_subjects())
    if as_json:
        print_records(map(record, subjects))
    elif subjects:
        draw(_list_sheet(tuple(subjects)))
    else:
        inform(_NONE)


@command.command("show")
@_ID
@call_options
def show(subject_id: str, as_json: bool, **account: Any) -> None:
    """Show one subject.

    \b
    Example:
      ochy subjects show 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    subject = perform(Account(**account), lambda ochy: ochy.get_subject(subject_id))
    if as_json:
        print_records([record(subject)])
    else:
        draw(_sheet(subject))


@command.command("create")
@_profile_options
@call_options
def create(as_json: bool, name: str | None, email: str | None, height: Any, weight: Any, **account: Any) -> None:
    """Create a subject and print its id. Every call creates one more, of the same name too.

    \b
    Example:
      ochy subjects create --name "Ada Lovelace" --height 1.75 --weight 68
    """
    profile = _profile(name=name, email=email, height=height, weight=weight)
    with doubted(_CREATED):
        created = _performed(Account(**account), lambda ochy: ochy.create_subject(**profile))
    if as_json:
        print_records([record(created)])
    else:
        inform("Created. To link analyses to the subject, give its id to `ochy analyze --subject-id`.")
        click.echo(printable(created.subject_id))


@command.command("update")
@_ID
@_profile_options
@call_options
def update(
    subject_id: str, as_json: bool, name: str | None, email: str | None, height: Any, weight: Any, **account: Any
) -> None:
    """Change what is given of a subject; the rest stays as it is.

    \b
    Example:
      ochy subjects update 7c9e6679-7425-40de-944b-e07fc1f90ae7 --weight 66.5
    """
    profile = _profile(name=name, email=email, height=height, weight=weight)
    message = _performed(Account(**account), lambda ochy: ochy.update_subject(subject_id, **profile))
    if as_json:
        print_records([{"subject_id": subject_id, **record(message)}])
    else:
        inform("Updated.")


@command.command("delete")
@_ID
@click.option("--yes", is_flag=True, help="Do not ask.")
@call_options
def delete(subject_id: str, yes: bool, as_json: bool, **account: Any) -> None:
    """Delete a subject. What becomes of the analyses linked to it is not documented.

    \b
    Example:
      ochy subjects delete 7c9e6679-7425-40de-944b-e07fc1f90ae7 --yes
    """
    _confirm(subject_id, yes)
    with doubted(_DELETED):
        message = perform(Account(**account), lambda ochy: ochy.delete_subject(subject_id))
    if as_json:
        print_records([{"subject_id": subject_id, **record(message)}])
    else:
        inform("Deleted.")


def _confirm(subject_id: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        again = command_line("ochy", "subjects", "delete", "--yes", operands=[subject_id])
        raise click.UsageError(f"Nothing was deleted: nobody can be asked here. To delete without being asked: {again}")
    click.confirm(
        f"Delete the subject {printable(subject_id)}? No call of the API brings it back.", abort=True, err=True
    )


def _profile(**given: Any) -> dict[str, Any]:
    """What was given. Raises a usage error where that is nothing."""
    profile = {name: value for name, value in given.items() if value is not None}
    if not profile:
        raise click.UsageError(f"Give at least one of {', '.join(f'--{name}' for name in _FIELDS)}.")
    return profile


def _performed(account: Account, call: Callable[..., Any]) -> Any:
    """What the call gives; wrong fields are told as the flags they came from."""
    try:
        return perform(account, call)
    except InvalidRequest as wrong:
        problems = [flagged(each) if each.field in _FIELDS else str(each) for each in wrong.problems]
    raise refuse(problems)


# --- sheets ---------------------------------------------------------------------------------------


def _list_sheet(subjects: Sequence[Subject]) -> Sheet:
    title = f"{len(subjects)} subject{'' if len(subjects) == 1 else 's'}"
    notes = ("Emails and dates: --json, or `ochy subjects show ID`",)
    return Sheet(title, ("subject", "name", "height", "weight"), tuple(map(_row, subjects)), notes)


def _row(subject: Subject) -> tuple[str, ...]:
    who = subject.name or subject.email or NOTHING
    return (subject.subject_id, who, *_measures(subject))


def _sheet(subject: Subject) -> Sheet:
    height, weight = _measures(subject)
    created = NOTHING if subject.created_at is None else f"{subject.created_at:%Y-%m-%d %H:%M:%S}Z"
    rows = (
        ("name", subject.name or NOTHING),
        ("email", subject.email or NOTHING),
        ("height", height),
        ("weight", weight),
        ("created", created),
    )
    return Sheet(f"Subject {subject.subject_id}", ("field", "value"), rows)


def _measures(subject: Subject) -> tuple[str, str]:
    return format_number(subject.height, "m", 2), format_number(subject.weight, "kg", 1)
