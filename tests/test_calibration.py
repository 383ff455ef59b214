"""Error bars over a seeded set of small systems: the mean of z^2 is 1, and no bound is violated."""

import pytest
from benchmarks import calibration

pytestmark = [pytest.mark.acceptance, pytest.mark.validation]


@pytest.fixture(scope="module")
def found():
    return calibration.all_scores()


def test_errors_of_every_kind_are_calibrated(found):
    """Between 0.7 and 1.4 for what hundreds of estimates were made of; wider where chi^2 of fewer asks for it."""
    print(calibration.report(found))
    for row in (*calibration.rows(found), *calibration.rows_of_kinds(found)):
        few = 3.5 * (2 / row.count) ** 0.5
        low, high = min(0.7, 1 - few), max(1.4, 1 + few)
        assert low < row.mean_square < high, row


def test_instances_are_many_enough_for_what_is_claimed(found):
    rows = {(row.claim, row.quantity): row.count for row in calibration.rows(found)}
    for claim, names in (("variational", "FESC"), ("reweighted", ("lnZ", "E", "S")), ("unbiased", ("energy", "m"))):
        assert all(rows[claim, name] >= 200 for name in names)
    assert sum(isinstance(one, calibration.Bound) for one in found) >= 240


def test_no_variational_free_energy_is_below_the_exact_one(found):
    assert calibration.lowest_bound(found) > -4
