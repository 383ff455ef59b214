"""An optimiser of optax, a callback that stops the training, an observable, and the run in another process."""

import subprocess
import sys
import tempfile

import optax

import massieu as ms

with tempfile.TemporaryDirectory() as folder:
    run = ms.minimize(
        ms.SK(n=10, beta=0.8),
        out=f"{folder}/run",
        optimiser=optax.adabelief(optax.cosine_decay_schedule(0.02, 200)),
        callback=lambda step, metrics, state: step > 120 and metrics["F_var"] < 0.05,
        steps=200,
        batch=256,
        samples=5000,
    )
    found = run.observe({"q": lambda s: s[:5].mean() * s[5:].mean()})["q"]
    print(f"{len(run.metrics)} steps, F = {run.F}   exact {run.reference.best.F}   q = {found.reweighted}")
    ask = f"import massieu as ms; x, log_p = ms.load({folder + '/run'!r}).sample(1000); print(x.shape, log_p.mean())"
    print(subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True).stdout.strip())
assert abs(run.F.value - run.reference.best.F.value) < 0.1
