"""The files of a plan: its page, its figures, and all that is to be applied."""

from pathlib import Path

from leadtime.output import write_json, write_text
from leadtime.plan.answer import Plan
from leadtime.plan.document import document
from leadtime.plan.manifests import manifests
from leadtime.plan.node_pools import config_connector, gcloud
from simulations.report.plan_page import plan_html

DOCUMENT, PAGE = "plan.json", "plan.html"


def files_of(plan: Plan) -> dict[str, str]:
    """Name -> text of all that is to be applied."""
    return {**manifests(plan), "node-pools.sh": gcloud(plan), "node-pools.yaml": config_connector(plan)}


def write_plan(plan: Plan, out: Path) -> list[str]:
    """Write all of them into a folder that is there; their names, the page first."""
    figures, files = document(plan), files_of(plan)
    write_json(out / DOCUMENT, figures)
    write_text(out / PAGE, plan_html(figures, files))
    for name, text in files.items():
        write_text(out / name, text)
    return [PAGE, DOCUMENT, *files]
