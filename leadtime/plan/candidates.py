"""Which GPU, how many of them a replica takes, and on which machine: what can be tried, and why the rest cannot."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from leadtime.plan.machines import WHERE, Machine, known_machines, machines_with
from leadtime.plan.request import PlanRequest
from policies.capacity.gpus import GPUS, Gpu, gpu_of
from policies.capacity.models import MODELS, Model, model_of
from policies.capacity.profile import Profile, physical_profile
from policies.errors import BadInput
from simulations.calibration.profile_file import read_profile
from simulations.prices import MachineType

Table = Mapping[str, MachineType]

_RANKS = (1, 2, 4, 8)
"""Tensor-parallel sizes that are tried: a replica does not span nodes, and no machine has more than 8 GPUs."""

_WITH_RANKS = re.compile(r"(?P<gpu>.+)-tp(?P<ranks>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One kind of replica on one kind of machine. notes: what was decided on the way here, for people."""

    name: str
    gpu: str
    profile: Profile
    machine: Machine
    notes: tuple[str, ...] = ()

    @property
    def replicas_per_node(self) -> int:
        return self.machine.gpus // self.profile.gpus_per_replica


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """constraint: one word, such as memory. text: what binds and by how much, with what would help."""

    name: str
    constraint: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.constraint}: {self.text}"


def candidates(request: PlanRequest) -> tuple[list[Candidate], list[Refused]]:
    """All that can be tried and all that cannot, in the order of the request. Raises BadInput for unknown names."""
    model = _model(request.model) if request.model is not None else None
    table = known_machines(request.prices)
    found: list[Candidate | Refused] = []
    for text in request.gpus:
        assert model is not None, "the request has a model where it has GPUs"
        gpu, ranks = _gpu(text)
        found.append(_of_gpu(model, gpu, ranks, request, table))
    for text in request.profiles:
        profile = read_profile(text)
        known = gpu_of(profile.gpu)
        found.append(
            _placed(profile.name, known.short_name if known else profile.gpu.casefold(), [profile], request, table)
        )
    kept = [each for each in found if isinstance(each, Candidate)]
    return list({each.name: each for each in kept}.values()), [each for each in found if isinstance(each, Refused)]


def _of_gpu(model: Model, gpu: Gpu, ranks: int | None, request: PlanRequest, table: Table) -> Candidate | Refused:
    """The smallest tensor-parallel size that fits and whose empty step keeps the TPOT."""
    largest = max((each.gpus for each in machines_with(gpu.short_name, table, request.region)), default=max(_RANKS))
    sizes = [each for each in _RANKS if each <= largest] if ranks is None else [ranks]
    name = gpu.short_name if ranks is None else f"{gpu.short_name}-tp{ranks}"
    profiles: list[Profile] = []
    too_large = ""
    for size in sizes:
        try:
            profiles.append(physical_profile(model, gpu, size))
        except BadInput as error:
            if "does not fit" not in str(error):
                continue  # the heads do not divide: no such server
            too_large = str(error).partition(";")[0]
    if not profiles:
        why = too_large or f"{model.name} has no tensor-parallel size of {', '.join(map(str, sizes))}"
        return Refused(name=name, constraint="memory", text=f"{why}; {_fitting(model)}")
    return _placed(name, gpu.short_name, profiles, request, table, (too_large,) if too_large else ())


def _placed(
    name: str,
    gpu: str,
    profiles: list[Profile],
    request: PlanRequest,
    table: Table,
    notes: tuple[str, ...] = (),
) -> Candidate | Refused:
    """The first of the profiles, by GPUs ascending, that keeps the TPOT and has a machine. notes: so far."""
    target = request.slo.tpot_seconds
    slow = [profile for profile in profiles if profile.base_seconds >= target]
    quick = [profile for profile in profiles if profile.base_seconds < target]
    if slow:
        steps = ", ".join(_step(profile) for profile in slow)
        missed = f"the model's own step of {steps} is not below the TPOT target of {1e3 * target:.1f} ms"
        if not quick:
            return Refused(
                name=name,
                constraint="tpot",
                text=f"{missed}, by {1e3 * (slow[-1].base_seconds - target):.1f} ms; relax the target or choose a GPU "
                "with more bandwidth",
            )
        notes = (*notes, f"{missed}; {_step(quick[0])} is")
    profile = quick[0]
    machines = machines_with(gpu, table, request.region)
    if not machines:
        where = f" in {request.region}" if request.region else ""
        return Refused(
            name=name,
            constraint="price",
            text=f"no machine with {gpu} has a price{where}; add one to {WHERE}",
        )
    wanted = request.machines.get(gpu)
    holding = [
        each for each in machines if each.gpus >= profile.gpus_per_replica and each.name == (wanted or each.name)
    ]
    if not holding:
        sizes = ", ".join(f"{each.name} ({each.gpus})" for each in machines)
        return Refused(
            name=name,
            constraint="machine",
            text=f"a replica takes {profile.gpus_per_replica} GPUs of one node"
            + (f", and {wanted} was asked for" if wanted else "")
            + f"; there are {sizes}: choose another with --machine {gpu}=NAME, or add one to {WHERE}",
        )
    best = min(
        holding,
        # Of places at one price the smallest machine: it is seldom half empty. Prices are multiples up to rounding.
        key=lambda each: (round(each.usd_per_hour / (each.gpus // profile.gpus_per_replica), 3), each.gpus),
    )
    return Candidate(name=name, gpu=gpu, profile=profile, machine=best, notes=notes)


def _step(profile: Profile) -> str:
    size = profile.gpus_per_replica
    return f"{1e3 * profile.base_seconds:.1f} ms on {size} x {profile.gpu}"


def _fitting(model: Model) -> str:
    """Where it would fit."""
    for size in _RANKS:
        names = [gpu.short_name for gpu in GPUS.values() if _fits(model, gpu, size)]
        if names:
            return f"the fewest GPUs that hold it are {size} x {' or '.join(names)}"
    return "no GPU of the table holds it, even 8 of them"


def _fits(model: Model, gpu: Gpu, size: int) -> bool:
    try:
        physical_profile(model, gpu, size)
    except BadInput:
        return False
    return True


def _model(text: str) -> Model:
    model = model_of(text)
    if model is None:
        raise BadInput(
            f"--model: was {text!r}, must be one of {', '.join(MODELS)} or its Hugging Face id; for another, give "
            "--profile FILE as docs/reference/profiles.md describes it"
        )
    return model


def gpu_named(text: str, option: str) -> str:
    """The short name of a GPU that is planned with. Raises BadInput naming the option."""
    gpu = gpu_of(text)
    if gpu is None:
        raise BadInput(f"{option}: was {text!r}, must be of {', '.join(GPUS)}")
    return gpu.short_name


def _gpu(text: str) -> tuple[Gpu, int | None]:
    """`l4` or `l4-tp2`. Raises BadInput."""
    match = _WITH_RANKS.fullmatch(text)
    gpu = gpu_of(match["gpu"] if match else text)
    if gpu is None:
        raise BadInput(
            f"--gpus: was {text!r}, must be of {', '.join(GPUS)}, with -tpN for N of them a replica; for another, give "
            "--profile FILE"
        )
    return gpu, int(match["ranks"]) if match else None


def refusal(refused: Iterable[Refused]) -> BadInput:
    """When nothing is left: each candidate with what binds it."""
    lines = [f"  {each}" for each in refused]
    return BadInput("\n".join(["plan: no candidate can be planned with:", *lines]))
