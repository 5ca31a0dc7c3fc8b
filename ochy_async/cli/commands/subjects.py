"""`ochy subjects`: manages subjects, the runners that analyses can be linked to.

Invariant: personal data is printed on stdout only, and a request that creates or deletes is sent at most once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from ...errors import InvalidRequest
from ...protocol.subjects import Subject
from ...protocol.text_summary import NOTHING, format_number, printable
from ..api_call import advise_if_unknown, call_api, call_options
from ..connection import ConnectionSettings
from ..display.json_lines import answer_record, print_records
from ..display.tables import TextTable, count_of, print_table, utc_time
from ..display.terminal import print_info
from ..groups import SuggestingGroup
from ..quoting import command_line
from ..request_options import MeasureType, as_flag_problem, usage_error

__all__ = ["command"]

_NO_SUBJECTS: Final = "The account has no subjects. To create one: ochy subjects create --name NAME"
_MAYBE_CREATED: Final = (
    "The subject may have been created all the same, and is not created again. "
    "`ochy subjects list` shows whether it exists."
)
_MAYBE_DELETED: Final = "The subject may have been deleted all the same. `ochy subjects list` shows whether it exists."

_ID: Final = click.argument("subject_id", metavar="ID")
_PROFILE: Final = (
    click.option("--name", help="The runner's name."),
    click.option("--email", help="The runner's email address."),
    click.option("--height", type=MeasureType("height"), metavar="METERS", help="Such as 1.75 or '175 cm'."),
    click.option("--weight", type=MeasureType("weight"), metavar="KG", help="Such as 68 or '150 lb'."),
)
_FIELDS: Final = ("name", "email", "height", "weight")


def _profile_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_PROFILE):
        command = option(command)
    return command


@click.group("subjects", cls=SuggestingGroup)
def command() -> None:
    """List, show, create, update and delete subjects: runners that analyses are linked to.

    \b
    Example:
      ochy subjects create --name "Ada Lovelace" --height 1.75 --weight 68
    """


@command.command("list")
@call_options
def list_command(as_json: bool, **connection: Any) -> None:
    """List all subjects that are not deleted.

    \b
    Example:
      ochy subjects list --json
    """
    subjects = call_api(ConnectionSettings(**connection), lambda ochy: ochy.list_subjects())
    if as_json:
        print_records(map(answer_record, subjects))
    elif subjects:
        print_table(_list_table(tuple(subjects)))
    else:
        print_info(_NO_SUBJECTS)


@command.command("show")
@_ID
@call_options
def show(subject_id: str, as_json: bool, **connection: Any) -> None:
    """Show one subject.

    \b
    Example:
      ochy subjects show 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    subject = call_api(ConnectionSettings(**connection), lambda ochy: ochy.get_subject(subject_id))
    if as_json:
        print_records([answer_record(subject)])
    else:
        print_table(_table(subject))


@command.command("create")
@_profile_options
@call_options
def create(as_json: bool, name: str | None, email: str | None, height: Any, weight: Any, **connection: Any) -> None:
    """Create a subject and print its id. Each call creates another one, even with the same name.

    \b
    Example:
      ochy subjects create --name "Ada Lovelace" --height 1.75 --weight 68
    """
    profile = _profile(name=name, email=email, height=height, weight=weight)
    with advise_if_unknown(_MAYBE_CREATED):
        created = _call(ConnectionSettings(**connection), lambda ochy: ochy.create_subject(**profile))
    if as_json:
        print_records([answer_record(created)])
    else:
        print_info("Created. To link analyses to the subject, pass its id to `ochy analyze --subject-id`.")
        click.echo(printable(created.subject_id))


@command.command("update")
@_ID
@_profile_options
@call_options
def update(
    subject_id: str, as_json: bool, name: str | None, email: str | None, height: Any, weight: Any, **connection: Any
) -> None:
    """Change the given fields of a subject; the others stay as they are.

    \b
    Example:
      ochy subjects update 7c9e6679-7425-40de-944b-e07fc1f90ae7 --weight 66.5
    """
    profile = _profile(name=name, email=email, height=height, weight=weight)
    answer = _call(ConnectionSettings(**connection), lambda ochy: ochy.update_subject(subject_id, **profile))
    if as_json:
        print_records([{"subject_id": subject_id, **answer_record(answer)}])
    else:
        print_info("Updated.")


@command.command("delete")
@_ID
@click.option("--yes", is_flag=True, help="Delete without confirmation.")
@call_options
def delete(subject_id: str, yes: bool, as_json: bool, **connection: Any) -> None:
    """Delete a subject. The vendor does not document what happens to analyses that are linked to it.

    \b
    Example:
      ochy subjects delete 7c9e6679-7425-40de-944b-e07fc1f90ae7 --yes
    """
    _confirm(subject_id, yes)
    with advise_if_unknown(_MAYBE_DELETED):
        answer = call_api(ConnectionSettings(**connection), lambda ochy: ochy.delete_subject(subject_id))
    if as_json:
        print_records([{"subject_id": subject_id, **answer_record(answer)}])
    else:
        print_info("Deleted.")


def _confirm(subject_id: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        again = command_line("ochy", "subjects", "delete", "--yes", operands=[subject_id])
        raise click.UsageError(f"Nothing was deleted: confirmation needs a terminal. To delete without it: {again}")
    click.confirm(f"Delete the subject {printable(subject_id)}? The API cannot restore it.", abort=True, err=True)


def _profile(**given: Any) -> dict[str, Any]:
    """The fields that were given. Raises a usage error if there are none."""
    profile = {name: value for name, value in given.items() if value is not None}
    if not profile:
        raise click.UsageError(f"Give at least one of {', '.join(f'--{name}' for name in _FIELDS)}.")
    return profile


def _call(connection: ConnectionSettings, call: Callable[..., Any]) -> Any:
    """The answer to the call. Raises a usage error that names the options of wrong fields."""
    try:
        return call_api(connection, call)
    except InvalidRequest as error:
        problems = [as_flag_problem(each) if each.field in _FIELDS else str(each) for each in error.problems]
    raise usage_error(problems)


# --- tables ---------------------------------------------------------------------------------------


def _list_table(subjects: Sequence[Subject]) -> TextTable:
    notes = ("For emails and dates: --json, or `ochy subjects show ID`",)
    rows = tuple(map(_row, subjects))
    return TextTable(count_of(len(subjects), "subject"), ("subject", "name", "height", "weight"), rows, notes)


def _row(subject: Subject) -> tuple[str, ...]:
    return (subject.subject_id, subject.name or subject.email or NOTHING, *_measures(subject))


def _table(subject: Subject) -> TextTable:
    height, weight = _measures(subject)
    rows = (
        ("name", subject.name or NOTHING),
        ("email", subject.email or NOTHING),
        ("height", height),
        ("weight", weight),
        ("created", utc_time(subject.created_at)),
    )
    return TextTable(f"Subject {subject.subject_id}", ("field", "value"), rows)


def _measures(subject: Subject) -> tuple[str, str]:
    return format_number(subject.height, "m", 2), format_number(subject.weight, "kg", 1)
