"""Edwards-Anderson glass in three dimensions, 2 x 2 x 2 with open ends, beside the sum over its 256 states."""

import massieu as ms

system = ms.EdwardsAnderson(l=2, dim=3, boundary="open", disorder="gaussian", couplings_seed=4, beta=1.0)
run = ms.minimize(system, steps=120, batch=256, samples=5000, seed=0)
exact = system.reference().best
print(f"F = {run.F}   exact {exact.F}")
print(f"S = {run.S}   exact {exact.S}")
assert -4 * run.F.error < run.F.value - exact.F.value < 0.02
