"""A particle in a double well by a density with a name, H = (x^2 - 1)^2 + (y - x)^2/2, beside a sum over a grid."""

import numpy as np

import massieu as ms


class Well(ms.ClassicalSystem):
    configuration = (2,)

    def energy(self, x):
        return (x[0] ** 2 - 1) ** 2 + 0.5 * (x[1] - x[0]) ** 2


run = ms.minimize(Well(), "spline", beta=2.0, steps=200, batch=256, samples=5000, seed=0)
grid = np.linspace(-5, 5, 1001)
exact = -np.log(np.sum(np.exp(-2 * Well().energy(np.array(np.meshgrid(grid, grid))))) * 0.01**2) / 2
found = run.observe({"x2": lambda x: x[0] ** 2})["x2"]
print(f"F = {run.F}   exact {exact:.5f}   <x^2> = {found.reweighted}")
assert -4 * run.F.error < run.F.value - exact < 0.1
