"""`python -m adapter`."""

from adapter.cli import app

if __name__ == "__main__":
    app(prog_name="python -m adapter")
