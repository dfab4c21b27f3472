"""The `leadtime` command: each part's own commands, joined; wrong input ends in one line and exit code 2."""

import sys

import typer

import adapter.errors
from adapter.cli import app as adapter_commands
from autoscaler.cli import app as controller_commands
from leadtime.backtest import backtest_command
from leadtime.batch_sizes import batch_sizes_command
from leadtime.compare import compare_command
from leadtime.conformance import app as conformance_commands
from leadtime.demo import command as demo
from leadtime.doctor.command import doctor_command
from leadtime.explain_autoscaler import explain_command
from leadtime.fit import fit_command
from leadtime.frontier import frontier_command
from leadtime.init.command import init_command
from leadtime.plan.command import plan_command
from leadtime.policies import policies
from leadtime.replay import replay_command
from leadtime.simulate import simulate_command
from leadtime.sweep import sweep_command
from leadtime.validate import validate_command
from leadtime.whatif import whatif_command
from policies.errors import BadInput

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("simulate")(simulate_command)
app.command("compare")(compare_command)
app.command("sweep")(sweep_command)
app.command("frontier")(frontier_command)
app.command("plan")(plan_command)
app.command("batch-sizes")(batch_sizes_command)
app.command("backtest")(backtest_command)
app.command("whatif")(whatif_command)
app.command("fit")(fit_command)
app.command("validate")(validate_command)
app.command("policies")(policies)
app.command("init")(init_command)
app.command("doctor")(doctor_command)
app.command("explain")(explain_command)
app.command("replay")(replay_command)
app.add_typer(adapter_commands, name="adapter")
app.add_typer(controller_commands, name="controller")
app.add_typer(conformance_commands, name="conformance")


@app.callback()
def leadtime() -> None:
    """Scale LLM inference for the demand that will be there when the capacity arrives."""


def main() -> None:
    """Exit codes: 0 did what was asked, 1 a check failed, 2 bad input."""
    try:
        app()
    except (BadInput, adapter.errors.BadInput) as error:
        sys.stderr.write(f"leadtime: {error}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
