"""From the compiled code to its tables: one pointer, the world's record, leads to every cell.

numba passes an array as seven words and counts its references at every call; with a dozen tables that would cost more
than the work. Here the world is a record that holds where each table begins, and `slot_at(w, index)` is the record at
that place: one pointer a call, no counting. The engine's door keeps the tables alive and the addresses true. As in any
compiled numba code, an index outside its table is not noticed.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from simulations.engine import layout


def _cell_of(table: str, dtype: np.dtype[Any]) -> Callable[[Any, int], Any]:
    """The compiled function (world, index) -> record of that table."""
    record = numba.from_dtype(dtype)
    size = dtype.itemsize
    assert layout.WORLD.fields is not None
    address_at = layout.WORLD.fields[table][1]

    @intrinsic
    def at(_typing: Any, world: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            int64 = context.get_value_type(types.int64)
            first = builder.ptrtoint(arguments[0], int64)
            address = builder.inttoptr(builder.add(first, ir.Constant(int64, address_at)), int64.as_pointer())
            number = context.cast(builder, arguments[1], signature.args[1], types.int64)
            offset = builder.mul(number, ir.Constant(int64, size))
            return builder.inttoptr(builder.add(builder.load(address), offset), context.get_value_type(record))

        return record(world, index), generate

    return at  # type: ignore[no-any-return]


request_at = _cell_of("requests", layout.REQUEST)
model_at = _cell_of("models", layout.MODEL)
server_at = _cell_of("servers", layout.SERVER)
slot_at = _cell_of("slots", layout.SLOT)
finish_at = _cell_of("finishes", layout.FINISH)
end_at = _cell_of("ends", layout.END)
deferred_at = _cell_of("deferred", layout.DEFERRED)
node_at = _cell_of("nodes", layout.NODE)
adapter_at = _cell_of("adapters", layout.ADAPTER)
queue_at = _cell_of("queues", layout.INDEX)
open_at = _cell_of("open", layout.INDEX)
bucket_at = _cell_of("buckets", layout.INDEX)
held_at = _cell_of("held", layout.INDEX)
residue_at = _cell_of("residues", layout.COUNT)
count_at = _cell_of("counts", layout.COUNT)
gap_at = _cell_of("itl", layout.COUNT)
id_at = _cell_of("ids", layout.COUNT)
