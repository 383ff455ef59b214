"""From data: densities by maximum likelihood, inverse Ising; training on energies is in methods/."""
