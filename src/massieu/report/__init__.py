"""What people look at: report.html, tables, figures of a shock; it reads runs, and no run knows it."""
