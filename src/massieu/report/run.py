"""The door for users: a run that draws itself.  The report knows the run; the run need not know the report."""

from __future__ import annotations

from pathlib import Path

from massieu.runs.run import Run, minimize

__all__ = ["Run", "minimize"]


def _report(run: Run, path: str | Path) -> Path:
    """Write the run directory, if it is not there, with figures and report.html; returns the report's path."""
    from massieu.report.report import write_report  # matplotlib waits until there is something to draw

    return write_report(run.save(path), run.system)


Run.report = _report
