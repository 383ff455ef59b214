"""The electron gas by diagonalisation: extrapolated in the plane waves, with the error of that."""

import pytest

import massieu as ms


@pytest.mark.parametrize(
    ("parameters", "F", "S"),
    [
        ({"n": 3, "rs": 5, "theta": 0.25, "twist": "0.25"}, -0.92867, 0.9345),  # correlated states; 64 plane waves
        ({"n": 2, "rs": 0.5, "theta": 0.33, "twist": "0.2"}, 7.188389, 1.034358),
        ({"n": 2, "rs": 3, "theta": 0.7, "polarised": False}, -1.20866, 0.5608),
    ],
)
def test_diagonalisation_is_extrapolated_and_knows_its_error(parameters, F, S):
    found = ms.ElectronGas(**parameters).reference().best
    assert abs(found.F.value - F) < 3 * found.F.error < 5e-4 * abs(F)
    assert abs(found.S.value - S) < 3 * found.S.error < 0.02
