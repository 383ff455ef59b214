"""The free energy of the Ising model at several temperatures, each run in a process of its own."""

import multiprocessing

import massieu as ms


def free_energy(beta: float) -> ms.Estimate:
    return ms.minimize(ms.Ising(l=3, beta=beta), steps=100, batch=128, samples=2000).F


if __name__ == "__main__":
    betas = [0.2, 0.4]
    with multiprocessing.get_context("spawn").Pool(2) as pool:  # a forked JAX hangs
        for beta, F in zip(betas, pool.map(free_energy, betas)):
            print(f"beta {beta}: F = {F}")
