"""The report that `--report` writes when a command has ended.

Invariant: the results are on the disk before, so nothing is lost with a report, and the last lines name the command
that writes it later.
"""

from __future__ import annotations

from pathlib import Path

from ..batch.output.tables import JSONL
from ..errors import OchyError
from ..protocol.text_summary import printable
from ..report import write_report
from .display.long_tasks import announce
from .display.terminal import print_info, print_message
from .exit_codes import ExitCode, most_severe
from .quoting import command_line

__all__ = ["write_final_report"]


def write_final_report(results: Path, code: ExitCode) -> ExitCode:
    """Writes the report of an output folder after a command with this exit code, and prints its path.

    Returns the exit code, which says if the report failed. A command that was stopped writes none.
    """
    if code is ExitCode.INTERRUPTED:
        if (results / JSONL).is_file():
            _print_failure(results, "The report was not written, because the command was stopped.")
        return code
    announce(results, "Writing the report")
    try:
        overview = write_report(results)
    except KeyboardInterrupt:
        _print_failure(results, "The report is not complete, because the command was stopped.")
        return ExitCode.INTERRUPTED
    except OchyError as error:
        _print_failure(results, f"The report was not written: {error}")
        return most_severe((code, ExitCode.SOME_FAILED))
    print_info(f"The report, to open in a browser:\n  {printable(str(overview))}")
    return code


def _print_failure(results: Path, reason: str) -> None:
    print_message(reason)
    print_message("The results are stored and no credit is lost. To write the report, or with --out to another folder:")
    print_message(f"  {command_line('ochy', 'report', operands=[str(results)])}")
