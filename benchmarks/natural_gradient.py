"""Natural gradient block by block against Adam: gap of the critical 8 x 8 Ising model after the same wall time."""

import massieu as ms

SECONDS = 30
system = ms.Ising(l=8)
for optimiser, learning_rate in (("natural", 0.05), ("adam", 3e-3)):
    options = {"batch": 1024, "optimiser": optimiser, "learning_rate": learning_rate}
    trial = ms.minimize(system, steps=40, samples=1000, **options)
    rate = 30 / (trial.metrics[-1]["seconds"] - trial.metrics[9]["seconds"])
    steps = max(20, int(rate * SECONDS))
    run = ms.minimize(system, steps=steps, **options)
    gap = system.beta * (run.F.value - run.reference.best.F.value)
    seconds, ess = run.metrics[-1]["seconds"], run.result.importance["ess"]
    print(f"{optimiser:8s} {steps} steps in {seconds:.0f} s: gap {gap:.4f} nats, ESS {ess:.3f}")
