"""`ochy subjects`: manages subjects, the runners that analyses can be linked to.

Invariant: personal data is printed on stdout only, and a request that creates or deletes is sent at most once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from ...protocol.subjects import Subject
from ...protocol.text_summary import NOTHING, count_of, format_number, printable
from ..api_call import advise_if_unknown, call_api, call_options
from ..connection import ConnectionSettings
from ..display.json_lines import answer_record, print_records
from ..display.tables import TextTable, print_table, utc_time
from ..display.terminal import confirm, print_info
from ..groups import SuggestingGroup, option_group
from ..journal_place import IdType
from ..request_options import measure_option

__all__ = ["command"]

_NO_SUBJECTS: Final = "The account has no subjects. To create one: ochy subjects create --name NAME"
_MAYBE_CREATED: Final = (
    "The subject may have been created all the same, and is not created again. "
    "`ochy subjects list` shows whether it exists."
)
_MAYBE_DELETED: Final = "The subject may have been deleted all the same. `ochy subjects list` shows whether it exists."

_ID: Final = click.argument("subject_id", metavar="ID", type=IdType())
_profile_options = option_group(
    click.option("--name", help="The runner's name."),
    click.option("--email", help="The runner's email address."),
    measure_option("height", "METERS", "Such as 1.75 or '175 cm'."),
    measure_option("weight", "KG", "Such as 68 or '150 lb'."),
)
_FIELDS: Final = ("name", "email", "height", "weight")


@click.group("subjects", cls=SuggestingGroup)
def command() -> None:
    """List, show, create, update and delete subjects: runners that analyses are linked to.

    \b
    Example:
      ochy subjects create --name "Ada Lovelace" --height 1.75 --weight 68
    """


@command.command("list")
@call_options
def list_command(as_json: bool, connection: ConnectionSettings) -> None:
    """List all subjects that are not deleted.

    \b
    Example:
      ochy subjects list --json
    """
    subjects = call_api(connection, lambda ochy: ochy.list_subjects())
    if as_json:
        print_records(map(answer_record, subjects))
    elif subjects:
        print_table(_list_table(tuple(subjects)))
    else:
        print_info(_NO_SUBJECTS)


@command.command("show")
@_ID
@call_options
def show(subject_id: str, as_json: bool, connection: ConnectionSettings) -> None:
    """Show one subject.

    \b
    Example:
      ochy subjects show 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    subject = call_api(connection, lambda ochy: ochy.get_subject(subject_id))
    if as_json:
        print_records([answer_record(subject)])
    else:
        print_table(_table(subject))


@command.command("create")
@_profile_options
@call_options
def create(as_json: bool, connection: ConnectionSettings, **given: Any) -> None:
    """Create a subject and print its id. Each call creates another one, even with the same name.

    \b
    Example:
      ochy subjects create --name "Ada Lovelace" --height 1.75 --weight 68
    """
    profile = _profile(given)
    with advise_if_unknown(_MAYBE_CREATED):
        created = call_api(connection, lambda ochy: ochy.create_subject(**profile))
    if as_json:
        print_records([answer_record(created)])
    else:
        print_info("Created. To link analyses to the subject, pass its id to `ochy analyze --subject-id`.")
        click.echo(printable(created.subject_id))


@command.command("update")
@_ID
@_profile_options
@call_options
def update(subject_id: str, as_json: bool, connection: ConnectionSettings, **given: Any) -> None:
    """Change the given fields of a subject; the others stay as they are.

    \b
    Example:
      ochy subjects update 7c9e6679-7425-40de-944b-e07fc1f90ae7 --weight 66.5
    """
    profile = _profile(given)
    answer = call_api(connection, lambda ochy: ochy.update_subject(subject_id, **profile))
    if as_json:
        print_records([{"subject_id": subject_id, **answer_record(answer)}])
    else:
        print_info("Updated.")


@command.command("delete")
@_ID
@click.option("--yes", is_flag=True, help="Delete without confirmation.")
@call_options
def delete(subject_id: str, yes: bool, as_json: bool, connection: ConnectionSettings) -> None:
    """Delete a subject. The vendor does not document what happens to analyses that are linked to it.

    \b
    Example:
      ochy subjects delete 7c9e6679-7425-40de-944b-e07fc1f90ae7 --yes
    """
    confirm(f"Delete the subject {printable(subject_id)}? The API cannot restore it.", yes=yes)
    with advise_if_unknown(_MAYBE_DELETED):
        answer = call_api(connection, lambda ochy: ochy.delete_subject(subject_id))
    if as_json:
        print_records([{"subject_id": subject_id, **answer_record(answer)}])
    else:
        print_info("Deleted.")


def _profile(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were given. Raises a usage error if there are none."""
    profile = {name: value for name, value in given.items() if value is not None}
    if not profile:
        raise click.UsageError(f"Give at least one of {', '.join(f'--{name}' for name in _FIELDS)}.")
    return profile


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
