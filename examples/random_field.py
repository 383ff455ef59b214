"""Random-field Ising model on a random cubic graph of networkx, beside the sum over its 2^14 states."""

import networkx
import numpy as np

import massieu as ms

graph, fields = networkx.random_regular_graph(3, 14, seed=1), np.random.default_rng(1).normal(size=14)
system = ms.Spins(couplings=graph, fields=fields, beta=0.7)
run = ms.minimize(system, steps=120, batch=256, samples=5000, seed=0)
exact = system.reference().best
print(f"F = {run.F}   exact {exact.F}   ESS = {run.result.importance['ess']:.3f}")
print(f"E = {run.E}   exact {exact.E}")
assert -4 * run.F.error < run.F.value - exact.F.value < 0.05
