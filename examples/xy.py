"""Plane rotors on a ring, Z = (2 pi)^n sum_m I_m(beta J)^n, and on a 3 x 3 torus, by quadrature."""

import massieu as ms

for shape in ("6", "3x3"):
    system = ms.XY(shape, beta=1.0)
    run = ms.minimize(system, steps=60, batch=256, samples=5000, seed=0)
    exact = system.reference().best
    print(f"{shape}: F = {run.F}   exact {exact.F}   {exact.method}")
    print(f"{shape}: E = {run.E}   exact {exact.E}")
    print(f"{shape}: ESS = {run.result.importance['ess']:.3f}")
    assert -4 * run.F.error < run.F.value - exact.F.value < 0.05
