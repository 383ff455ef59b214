"""Consistency of an equation of state: integrals of P and S against differences of F."""

import itertools
import math

import numpy as np
import pytest

from massieu.methods.atoms import equation_of_state
from massieu.observables.consistency import checks
from massieu.principle import Estimate
from massieu.report.tables import consistency_table
from massieu.runs import sweep_table
from massieu.systems import Hydrogen


def _run(system):
    """What a run would say if its ions were an ideal gas."""
    ions = system.ideal_ions()
    estimates = {"F": ions.F, "S": ions.S, "pressure": system.pressure(0.0, 0.0)}
    found = {name: Estimate(value, 1e-6).as_dict() for name, value in estimates.items()}
    return system, {"F": found["F"], "S": found["S"], "observables": {"pressure": found["pressure"]}}


def test_polynomials_are_exact():
    x = np.array([1.0, 1.3, 1.5, 2.0, 2.2])
    f = [Estimate(-(v**4) / 4, 0.1) for v in x]
    found = checks(x[::-1], f[::-1], [Estimate(v**3, 0.2) for v in x][::-1])
    assert [(c.low, c.high) for c in found] == list(itertools.pairwise(x))
    for check in found:
        assert check.measured.value == pytest.approx(check.difference.value, rel=1e-12)
        assert check.difference.error == pytest.approx(0.1 * math.sqrt(2) / (check.high - check.low))
        assert 0.1 < check.measured.error < 0.5 and check.sigma < 1e-6


def test_two_points_are_a_trapezoid():
    (found,) = checks([0.0, 2.0], [Estimate(0.0, 0.1), Estimate(-4.0, 0.1)], [Estimate(1.0, 0.3), Estimate(3.0, 0.4)])
    assert found.measured == pytest.approx((2.0, 0.25)) and found.difference.value == pytest.approx(2.0)


def test_ideal_ions_are_consistent_in_their_units():
    runs = [
        _run(Hydrogen(n=4, rs=rs, temperature=t)) for t in (6e3, 6.5e3, 7e3, 7.5e3) for rs in (1.36, 1.38, 1.4, 1.42)
    ]
    rows = equation_of_state.consistency(runs)
    assert len(rows) == 4 * 3 + 4 * 3
    assert {row["derivative"] for row in rows} == {"P = -dF/dV (GPa)", "S = -dF/dT (k_B)"}
    for row in rows:
        assert row["measured"] == pytest.approx(row["difference"], rel=1e-5)  # of the cubic
    assert [row["from"] for row in rows[:3]] == pytest.approx([1.36, 1.38, 1.4])
    assert len(sweep_table.as_csv(rows).splitlines()) == len(rows) + 1
    assert len(consistency_table(rows).splitlines()) == len(rows) + 1


def test_other_problems_are_not_compared():
    runs = [_run(Hydrogen(n=2, rs=1.4)), _run(Hydrogen(n=4, rs=1.4)), _run(Hydrogen(n=4, rs=1.5, temperature=7e3))]
    assert equation_of_state.consistency(runs) == []
    boxes = [_run(Hydrogen(n=2, box=box)) for box in (4.0, 4.1, 4.2)]
    assert [row["derivative"][0] for row in equation_of_state.consistency(boxes)] == ["P", "P"]
