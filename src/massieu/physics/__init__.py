"""Physics that systems share: Ewald sums, kinetic energies, the ideal Fermi gas; nothing here is trained."""
