"""The progress line: F beside a reference of the same temperature, and of no other."""

import io

import pytest

import massieu as ms
from massieu.principle import Estimate
from massieu.progress import Lines

BETAS = [(0.0441, False), (0.4406, False), (0.44068679, True), (0.4406867900000001, True)]
ROW = {"F": -252.37, "F_error": 0.01, "ess": 0.5}


@pytest.mark.parametrize(("beta", "shown"), BETAS)
def test_reference_is_shown_at_its_own_temperature_only(beta, shown):
    lines = Lines(Estimate(-35.22), io.StringIO())
    lines.at_beta = 0.44068679
    lines.step(1, 10, ROW | {"beta": beta})
    said = lines.stream.getvalue()
    assert ("reference -35.22" in said) == shown
    assert (f"annealing to beta 0.4407, at beta {beta:.4g}  F -252.37(1)" in said) != shown


@pytest.mark.parametrize(
    "options", [{}, {"range": "beta:0.2:0.6"}, {"anneal": 0.0}], ids=["anneal", "range", "at once"]
)
def test_line_of_a_run_has_the_reference_where_it_applies(options):
    stream = io.StringIO()
    ms.minimize(ms.Ising(l=2), progress=Lines(stream=stream, interval=0.0), steps=6, batch=16, samples=100, **options)
    steps = [line for line in stream.getvalue().splitlines() if line.startswith("step")]
    assert len(steps) == 6
    expected = [k >= 3 for k in range(6)] if not options else ["anneal" in options] * 6
    assert ["  reference " in line for line in steps] == expected
    assert ["annealing" in line for line in steps] == ([k < 3 for k in range(6)] if not options else [False] * 6)
