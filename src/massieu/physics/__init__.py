"""Physics that systems share: Ewald sums, kinetic energies, the canonical ideal Fermi gas."""
