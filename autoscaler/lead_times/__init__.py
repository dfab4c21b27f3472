"""How long capacity takes from asking to serving: measured pod by pod, kept in SQLite, expected for the next step."""
