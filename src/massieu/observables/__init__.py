"""What follows from averages and samples: effective mass, density derivatives, Landau's functional."""
