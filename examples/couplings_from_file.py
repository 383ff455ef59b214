"""Any couplings J_ij from a .npy file: a spin glass with two kinds of bonds, compared with enumeration."""

import tempfile
from pathlib import Path

import numpy as np

import massieu as ms

rng = np.random.default_rng(7)
upper = np.triu(rng.choice([-1.0, 1.0], (16, 16)) * (rng.uniform(size=(16, 16)) < 0.4), 1)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "couplings.npy"
    np.save(path, upper + upper.T)
    glass = ms.SK(couplings_file=str(path), beta=1.0)

run = ms.minimize(glass, steps=150, batch=512, seed=0)
mean_field = run.reference.approximations["naive mean field"].F
print(f"F = {run.F}   exact {run.reference.best.F}   naive mean field {mean_field}")
print(f"E = {run.E}   exact {run.reference.best.E}")
print(f"ESS = {run.result.importance['ess']:.3f}")
assert run.F.value - run.reference.best.F.value < 0.01 * abs(run.F.value)
