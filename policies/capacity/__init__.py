"""What one replica sustains within its SLO."""
