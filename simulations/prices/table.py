"""The machine types that are known, with what they have and cost.

Google, us-central1: list prices as the Cloud Billing Catalog had them on 2025-03-06, in pricing.yml of
github.com/Cyclenerd/google-cloud-pricing-cost-calculator at commit 0166a59ebba7. On-demand prices of the catalogue
change seldom: g2-standard-4, a2-highgpu-1g, a2-ultragpu-1g and a3-highgpu-8g were published unchanged in 2026. Spot
prices change up to once a day (cloud.google.com/spot-vms/pricing), so give your own for a budget. Those of the H100
are of 2026-09-26, in prices/gpu_hourly.yaml of github.com/tgarg01/silybench-data at commit 9c6715ca0191; of the other
GPUs no newer price with a date was found (copies without one: github.com/skypilot-org/skypilot-catalog).
A machine is billed by GPU, vCPU, memory and bundled SSD; so a machine with twice of each costs twice as much, and the
prices of 4 and 8 GPUs are multiples of the catalogue's for 1 or 2 where it was not read for them.
vCPUs, memory and SSD: Compute Engine documentation, "Accelerator-optimized machine family"; EC2, "Amazon EC2 G6e".
"""

from simulations.prices.machine import MachineType, Price, RegionPrice

_GIB = 2**30

_CATALOGUE = "Cloud Billing Catalog, in Cyclenerd/google-cloud-pricing-cost-calculator pricing.yml at 0166a59ebba7"
_CATALOGUE_DATE = "2025-03-06"
_AUTOSCALER = "kubernetes/autoscaler cluster-autoscaler/cloudprovider/gce/gce_price_info.go at 0411d1c8af6b"
_AUTOSCALER_DATE = "2025"
_AWS = "AWS Pricing API (get-products, AmazonEC2, Linux), as published by users"
_AWS_DATE = "2026-08-17"

_L4_NOTE = (
    "The L4 is published at 0.60 and 0.73 USD an hour as well: 0.56 is the GPU's own part, 0.71 the smallest machine "
    "with it, 0.76 the cluster-autoscaler's own table. Taken: the machine, as a node is billed. A later copy of the "
    "spot price of g2-standard-4 has 0.42."
)
_A100_80_NOTE = (
    "The A100 80 GB is published at 4.68 and 2.93 USD an hour as well: 2.93 is the GPU's part of the 40 GB machine, "
    "a2-highgpu-1g. Taken: the whole machine of 80 GB, its 375 GiB of SSD included."
)
_A100_40_NOTE = (
    "2.93 of it is the GPU. Spot of one GPU was 1.47 on 2024-11-07, is 1.10 in the cluster-autoscaler's table and 2.12 "
    "in a later copy."
)
_H100_NOTE = "The machine of 8 GPUs is published at 88.49 in 2026 as well; those of fewer are its parts."
_H100_SPOT = "Cloud Billing Catalog, in tgarg01/silybench-data prices/gpu_hourly.yaml at 9c6715ca0191"
_H100_SPOT_DATE = "2026-09-26"
_H100_SPOT_NOTE = (
    "6.571 of GPU, vCPUs and memory of a3-highgpu-1g, and its SSD of 750 GiB at the on-demand price (0.082: 11.06125 "
    "less 10.9791, the same without SSD that day), as nobody states that of spot: at most 1 % too dear. Machines of "
    "more GPUs are multiples. It was 4.42 on 2025-03-06."
)
_T4_NOTE = (
    "n1-standard-4 at 0.19 (spot 0.04) and a T4 at 0.35 (spot 0.11). The file has no date; it lists machines of 2025. "
    "A later copy of the spot price has 0.28."
)
_G6E_NOTE = "No spot price: EC2's changes hour by hour; add your own."


def _google(
    name: str,
    gpu: str,
    gpus: int,
    vcpus: int,
    memory_gib: int,
    usd: tuple[float, float],
    *,
    note: str,
    ssd_gib: int = 0,
    source: str = _CATALOGUE,
    as_of: str = _CATALOGUE_DATE,
    spot: Price | None = None,
) -> MachineType:
    """usd: on demand and spot, an hour. spot: in place of the second, where it has a source of its own."""
    on_demand, same = (Price(usd_per_hour=each, source=source, as_of=as_of, note=note) for each in usd)
    return MachineType(
        name=name,
        gpus=gpus,
        gpu=gpu,
        vcpus=vcpus,
        memory_bytes=memory_gib * _GIB,
        local_ssd_bytes=ssd_gib * _GIB,
        prices={"us-central1": RegionPrice(on_demand=on_demand, spot=spot or same)},
    )


def _a3_high(gpus: int) -> MachineType:
    """A part of a3-highgpu-8g."""
    spot = Price(usd_per_hour=gpus * 6.65315, source=_H100_SPOT, as_of=_H100_SPOT_DATE, note=_H100_SPOT_NOTE)
    usd = (gpus * 11.06125, spot.usd_per_hour)
    return _google(
        f"a3-highgpu-{gpus}g", _H100, gpus, 26 * gpus, 234 * gpus, usd, note=_H100_NOTE, ssd_gib=750 * gpus, spot=spot
    )


def _aws(name: str, gpus: int, vcpus: int, memory_gib: int, usd: float) -> MachineType:
    price = Price(usd_per_hour=usd, source=_AWS, as_of=_AWS_DATE, note=_G6E_NOTE)
    return MachineType(
        name=name,
        gpus=gpus,
        gpu="NVIDIA-L40S",
        vcpus=vcpus,
        memory_bytes=memory_gib * _GIB,
        prices={"us-east-1": RegionPrice(on_demand=price)},
    )


_T4, _L4, _A100_40, _A100_80, _H100 = (
    "NVIDIA-T4",
    "NVIDIA-L4",
    "NVIDIA-A100-SXM4-40GB",
    "NVIDIA-A100-SXM4-80GB",
    "NVIDIA-H100-80GB",
)

MACHINES: dict[str, MachineType] = {
    machine.name: machine
    for machine in (
        _google(
            "n1-standard-4-t4", _T4, 1, 4, 15, (0.54, 0.15), note=_T4_NOTE, source=_AUTOSCALER, as_of=_AUTOSCALER_DATE
        ),
        _google("g2-standard-4", _L4, 1, 4, 16, (0.706832255, 0.279932), note=_L4_NOTE),
        _google("g2-standard-8", _L4, 1, 8, 32, (0.853624271, 0.336764), note=_L4_NOTE),
        _google("g2-standard-12", _L4, 1, 12, 48, (1.000416287, 0.393596), note=_L4_NOTE),
        _google("g2-standard-32", _L4, 1, 32, 128, (1.734376367, 0.677756), note=_L4_NOTE),
        _google("g2-standard-24", _L4, 2, 24, 96, (2.000832574, 0.787192), note=_L4_NOTE),
        _google("g2-standard-48", _L4, 4, 48, 192, (4.001665148, 1.574384), note=_L4_NOTE),
        _google("g2-standard-96", _L4, 8, 96, 384, (8.003330296, 3.148768), note=_L4_NOTE),
        _google("a2-highgpu-1g", _A100_40, 1, 12, 85, (3.673385, 1.293355), note=_A100_40_NOTE),
        _google("a2-highgpu-2g", _A100_40, 2, 24, 170, (7.34677, 2.58671), note=_A100_40_NOTE),
        _google("a2-highgpu-4g", _A100_40, 4, 48, 340, (14.69354, 5.17342), note=_A100_40_NOTE),
        _google("a2-highgpu-8g", _A100_40, 8, 96, 680, (29.38708, 10.34684), note=_A100_40_NOTE),
        _google("a2-ultragpu-1g", _A100_80, 1, 12, 170, (5.068798, 2.027468), note=_A100_80_NOTE, ssd_gib=375),
        _google("a2-ultragpu-2g", _A100_80, 2, 24, 340, (10.137596, 4.054937), note=_A100_80_NOTE, ssd_gib=750),
        _google("a2-ultragpu-4g", _A100_80, 4, 48, 680, (20.275192, 8.109873), note=_A100_80_NOTE, ssd_gib=1_500),
        _google("a2-ultragpu-8g", _A100_80, 8, 96, 1_360, (40.550383, 16.219747), note=_A100_80_NOTE, ssd_gib=3_000),
        *(_a3_high(gpus) for gpus in (1, 2, 4, 8)),
        _aws("g6e.xlarge", 1, 4, 32, 1.861),
        _aws("g6e.2xlarge", 1, 8, 64, 2.24208),
        _aws("g6e.4xlarge", 1, 16, 128, 3.00424),
        _aws("g6e.8xlarge", 1, 32, 256, 4.52856),
        _aws("g6e.12xlarge", 4, 48, 384, 10.49264),
    )
}
"""By name. `n1-standard-4-t4` is n1-standard-4 with one T4 attached."""
