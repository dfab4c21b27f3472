"""The price table, the user's prices in a file, and what is said where one is missing."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from policies.capacity.gpus import GPUS
from policies.errors import BadInput
from simulations.cluster import Cluster
from simulations.cluster.machine_pool import machine_pool
from simulations.cluster.resources import GIB, gke_allocatable
from simulations.cluster.spot import Spot
from simulations.cluster.usage import cost_usd
from simulations.prices import MACHINES, OLD_DAYS, age_days, machine_price, machine_type, machines_with, read_prices

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "cluster.md"


def test_every_gpu_that_profiles_are_made_for_has_a_machine() -> None:
    assert {gpu.name for gpu in GPUS.values()} <= {machine.gpu for machine in MACHINES.values()}


@pytest.mark.parametrize("name", MACHINES)
def test_every_price_has_a_source_and_a_date(name: str) -> None:
    machine = MACHINES[name]
    assert machine.prices
    for price in machine.prices.values():
        for each in filter(None, (price.on_demand, price.spot)):
            assert each.source
            assert each.note
            assert 2024 <= int(each.as_of[:4]) <= 2026


@pytest.mark.parametrize("name", [name for name, machine in MACHINES.items() if "us-central1" in machine.prices])
def test_spot_saves_what_google_says(name: str) -> None:
    """ "Spot VMs pricing", copies of 2025: 60 to 91 % off the on-demand price; of 2026 "up to 91 %", and 40 % seen."""
    price = MACHINES[name].prices["us-central1"]
    assert price.spot is not None
    assert price.spot_discount is not None
    least = 0.60 if price.spot.as_of < "2026" else 0.39
    assert least <= round(price.spot_discount, 2) <= 0.91


@pytest.mark.parametrize("family", ["a2-highgpu", "a2-ultragpu", "a3-highgpu"])
def test_a_machine_of_twice_the_gpus_has_and_costs_twice_as_much(family: str) -> None:
    """Google bills by GPU, vCPU, memory and SSD; the prices not read for a size follow from that."""
    one = MACHINES[f"{family}-1g"]
    for gpus in (2, 4, 8):
        machine = MACHINES[f"{family}-{gpus}g"]
        assert (machine.gpus, machine.vcpus, machine.memory_bytes, machine.local_ssd_bytes) == (
            gpus,
            gpus * one.vcpus,
            gpus * one.memory_bytes,
            gpus * one.local_ssd_bytes,
        )
        for spot in (False, True):
            assert machine_price(machine.name, spot=spot).usd_per_hour == pytest.approx(
                gpus * machine_price(one.name, spot=spot).usd_per_hour, rel=1e-6
            )


def test_g2_machines_are_the_sum_of_their_parts() -> None:
    """L4 + 4 vCPUs with 16 GiB: two machines give both prices, the other five follow."""
    small, larger = (machine_price(name).usd_per_hour for name in ("g2-standard-4", "g2-standard-8"))
    part = larger - small
    gpu = small - part
    assert gpu == pytest.approx(0.56, abs=0.0005)
    for machine in MACHINES.values():
        if machine.name.startswith("g2-"):
            parts = machine.gpus * gpu + machine.vcpus / 4 * part
            assert machine_price(machine.name).usd_per_hour == pytest.approx(parts, rel=1e-6)


def test_the_documentation_shows_the_table() -> None:
    """docs/reference/cluster.md, a row a machine: name, GPUs, vCPUs, memory, SSD, region, prices, date."""
    text = DOCS.read_text(encoding="utf-8")
    for machine in MACHINES.values():
        for region, price in machine.prices.items():
            spot = "-" if price.spot is None else f"{price.spot.usd_per_hour:.4f}"
            ssd = "-" if not machine.local_ssd_bytes else f"{machine.local_ssd_bytes // GIB:,}"
            as_of = price.on_demand.as_of
            if price.spot is not None and price.spot.as_of != as_of:
                as_of += f", spot {price.spot.as_of}"
            row = (
                f"| `{machine.name}` | {machine.gpus} x {machine.gpu} | {machine.vcpus} | "
                f"{machine.memory_bytes // GIB:,} | {ssd} | {region} | {price.on_demand.usd_per_hour:.4f} | {spot} | "
                f"{as_of} |"
            )
            assert row in text, row


def test_machines_are_found_by_gpu_cheapest_for_a_gpu_first() -> None:
    assert [machine.name for machine in machines_with("L4")][:2] == ["g2-standard-4", "g2-standard-8"]
    assert [machine.gpus for machine in machines_with("h100", at_least=4)] == [4, 8]
    assert machines_with("A100-40GB")[0].name == "a2-highgpu-1g"
    assert machines_with("a100-80gb")[0].name == "a2-ultragpu-1g"


def test_a_pool_of_a_machine_has_its_gpus_its_allocatable_and_its_price() -> None:
    pool = machine_pool("l4-spot", "g2-standard-24", max_nodes=3, spot=Spot(), zones=("us-central1-a",))
    assert (pool.gpus_per_node, pool.gpu, pool.price_per_node_hour) == (2, "NVIDIA-L4", 0.787192)
    assert pool.allocatable == gke_allocatable(24, 96 * GIB)
    cluster = Cluster([pool])
    cluster.place_running("a", gpus=2, pool="l4-spot")
    cluster.advance(7_200.0)
    assert cost_usd(cluster, 7_200.0, price_per_gpu_hour=99.0) == pytest.approx(2 * 0.787192)


@pytest.mark.parametrize(
    ("as_of", "days"),
    [
        pytest.param("2026-05-26", 180, id="180-days-are-not-old-yet"),
        pytest.param("2026-05-25", 181, id="a-day-more"),
        pytest.param("2025-03-06", 626, id="the-catalogue"),
        pytest.param("2026-02", 267, id="of-a-month-its-last-day"),
        pytest.param("2025", 326, id="of-a-year-its-last-day"),
        pytest.param("2027-01-01", 0, id="a-price-to-come"),
    ],
)
def test_age(as_of: str, days: int) -> None:
    assert age_days(as_of, date(2026, 11, 22)) == days
    assert OLD_DAYS == 180


@pytest.mark.parametrize("as_of", ["", "yesterday", "2026-13", "2026-02-30"])
def test_a_day_that_is_none_is_refused(as_of: str) -> None:
    with pytest.raises(BadInput, match=f"as_of: was '{as_of}', must be YYYY-MM-DD, YYYY-MM or YYYY"):
        age_days(as_of, date(2026, 11, 22))


def test_the_spot_price_of_the_h100_is_its_parts_of_2026() -> None:
    """GPU, vCPUs and memory at 6.571; the SSD is what the whole machine costs on demand beyond 10.9791."""
    price = MACHINES["a3-highgpu-1g"].prices["us-central1"]
    assert price.spot is not None
    assert price.spot.usd_per_hour == pytest.approx(6.571 + price.on_demand.usd_per_hour - 10.9791, abs=1e-9)
    assert (price.on_demand.as_of, price.spot.as_of) == ("2025-03-06", "2026-09-26")


def write(folder: Path, text: str) -> Path:
    path = folder / "prices.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_adds_a_machine_and_overrides_a_price(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
machines:
  g2-standard-4:
    prices:
      us-central1: {on_demand_usd_per_hour: 0.5, as_of: 2026-06-01, source: our contract}
      europe-west4: {on_demand_usd_per_hour: 0.74, spot_usd_per_hour: 0.25, as_of: 2026-06-01}
  b200-8:
    gpus: 8
    gpu: NVIDIA-B200
    vcpus: 224
    memory_gib: 3968
    prices:
      us-central1: {on_demand_usd_per_hour: 90, as_of: 2026-06-01}
""",
    )
    machines = read_prices(path)
    assert machine_price("g2-standard-4", machines=machines).usd_per_hour == 0.5
    assert machine_price("g2-standard-4", machines=machines).source == "our contract"
    assert machine_price("g2-standard-4", "europe-west4", spot=True, machines=machines).usd_per_hour == 0.25
    assert machines["g2-standard-4"].vcpus == 4
    assert machines_with("NVIDIA-B200", machines=machines)[0].memory_bytes == 3_968 * GIB
    assert MACHINES["g2-standard-4"].prices["us-central1"].on_demand.usd_per_hour == 0.706832255
    assert set(MACHINES) < set(machines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("machines: {}", "machines: was {}", id="no-machines"),
        pytest.param("prices: 1", "machines: was missing", id="no-key"),
        pytest.param(
            "machines: {x: {prices: {r: {on_demand_usd_per_hour: -1, as_of: 2026-01-01}}}}",
            "machines.x.prices.r.on_demand_usd_per_hour: was -1; input should be greater than or equal to 0",
            id="negative",
        ),
        pytest.param(
            "machines: {x: {prices: {r: {on_demand_usd_per_hour: 1, as_of: 2026-01-01}}}}",
            "machines.x.gpus: was missing, must be given for a machine that the table has not",
            id="unknown-machine-without-gpus",
        ),
        pytest.param(
            "machines: {g2-standard-4: {prices: {r: {on_demand_usd_per_hour: 1}}}}",
            "machines.g2-standard-4.prices.r.as_of: was missing",
            id="no-date",
        ),
        pytest.param(
            "machines: {g2-standard-4: {price: 1}}", "machines.g2-standard-4.prices: was missing", id="misspelt"
        ),
        pytest.param("a: [", "is not YAML", id="no-yaml"),
    ],
)
def test_a_wrong_file_is_named_with_the_field(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BadInput) as refused:
        read_prices(path)
    assert str(path) in str(refused.value)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        pytest.param(
            lambda: machine_type("g2-standard-5"), "machine_type: was 'g2-standard-5', which has no", id="near"
        ),
        pytest.param(lambda: machine_price("zz"), "was 'zz', which has no entry; add it to a file of prices", id="far"),
        pytest.param(
            lambda: machine_price("g6e.xlarge", "us-central1"),
            "region: was 'us-central1', for which g6e.xlarge has no price, only for us-east-1",
            id="region",
        ),
        pytest.param(
            lambda: machine_price("g6e.xlarge", spot=True),
            "g6e.xlarge.spot_usd_per_hour: was missing for us-east-1; add it to a file of prices",
            id="no-spot-price",
        ),
        pytest.param(lambda: machines_with("B200"), "gpu: was 'B200', for which there is no machine", id="unknown-gpu"),
        pytest.param(
            lambda: machines_with("L40S", at_least=8),
            "gpus_per_replica: was 8, must be in [1, 4], the GPUs of the largest machine with NVIDIA-L40S",
            id="too-many-gpus",
        ),
        pytest.param(lambda: read_prices("/nowhere/prices.yaml"), "cannot be read (No such file", id="no-file"),
    ],
)
def test_what_is_missing_is_named_with_where_to_add_it(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        ask()
    assert message in str(refused.value)
