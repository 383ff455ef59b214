"""The door for users: a run that draws itself.  The report knows the run; the run need not know the report."""

from __future__ import annotations

from pathlib import Path

from massieu.runs.outcome import Run
from massieu.runs.run import minimize

__all__ = ["Run", "minimize"]


def _report(run: Run, path: str | Path) -> Path:
    """Write the run directory, if it is not there, with figures and report.html; returns the report's path."""
    from massieu.report.report import write_report  # matplotlib waits until there is something to draw

    return write_report(run.save(path), run.system)


def _html(run: Run) -> str:
    """A notebook's view: what was run, the table of results, F along the training."""
    import html

    from massieu.methods import figures
    from massieu.report import results
    from massieu.report.page import image, png, table

    summary = run.summary()
    head = f"<p>{html.escape(repr(run).splitlines()[0])}</p>"
    rows = table(["", "value", "reference", "z"], results.results(summary))
    figure = figures.free_energy(run.metrics, summary, summary["reference"] or {})
    return head + rows + table(["", ""], results.quality(summary)) + image("F", png(figure))


Run.report = _report
Run._repr_html_ = _html
