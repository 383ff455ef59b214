"""Three-state Potts model on a 3 x 3 torus near its critical point, beside the sum over all 3^9 states."""

import massieu as ms

system = ms.Potts("3x3", q=3, beta=1.0)
run = ms.minimize(system, steps=100, batch=256, samples=5000, seed=0)
exact = system.reference().best
print(f"F = {run.F}   exact {exact.F}   {exact.method}")
print(f"E = {run.E}   exact {exact.E}")
print(f"S = {run.S}   exact {exact.S}")
print(f"ESS = {run.result.importance['ess']:.3f}")
assert -4 * run.F.error < run.F.value - exact.F.value < 0.01
