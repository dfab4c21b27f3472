"""`python -m autoscaler`."""

from autoscaler.cli import app

if __name__ == "__main__":
    app(prog_name="python -m autoscaler")
