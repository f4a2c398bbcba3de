"""Reads traced programs: what they cost, and whether they call the host."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.extend.core as jex

__all__ = ["flops", "host_calls"]

_HOST = ("callback", "debug_print", "infeed", "outfeed")


def host_calls(jaxpr: Any) -> set[str]:
    """Names of the primitives in a jaxpr, at any depth, that call the host."""
    found = set()
    for eqn in _open(jaxpr).eqns:
        name = eqn.primitive.name
        if any(mark in name for mark in _HOST):
            found.add(name)
        for inner in jex.jaxprs_in_params(eqn.params):
            found |= host_calls(inner)
    return found


def flops(jaxpr: Any) -> int:
    """Floating-point operations of a jaxpr (see `jaxdd.loop.cost.count_flops`)."""
    return sum(
        _RULES.get(eqn.primitive.name, _descend)(eqn) for eqn in _open(jaxpr).eqns
    )


def _open(jaxpr: Any) -> Any:
    return getattr(jaxpr, "jaxpr", jaxpr)


def _descend(eqn: Any) -> int:
    return sum(flops(inner) for inner in jex.jaxprs_in_params(eqn.params))


def _dot(eqn: Any) -> int:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    shape = eqn.invars[0].aval.shape
    return 2 * eqn.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)


def _conv(eqn: Any) -> int:
    kernel = eqn.invars[1].aval
    features = kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
    # Rows of zeros between the input's own (the gradient of a stride) cost nothing.
    holes = math.prod(eqn.params["lhs_dilation"])
    return 2 * eqn.outvars[0].aval.size * (kernel.size // features) // holes


def _cholesky(eqn: Any) -> int:
    matrix = eqn.invars[0].aval
    return matrix.size * matrix.shape[-1] // 3


def _triangular(eqn: Any) -> int:
    matrix, right = (v.aval for v in eqn.invars)
    return right.size * matrix.shape[-1]


def _scan(eqn: Any) -> int:
    return eqn.params["length"] * flops(eqn.params["jaxpr"])


def _while(eqn: Any) -> int:
    once = flops(eqn.params["body_jaxpr"]) + flops(eqn.params["cond_jaxpr"])
    return once * (_trips(eqn) or 1)


def _cond(eqn: Any) -> int:
    return max(flops(branch) for branch in eqn.params["branches"])


def _linear_solve(eqn: Any) -> int:
    return flops(eqn.params["jaxprs"].solve)  # its transpose runs in gradients only


def _shard_map(eqn: Any) -> int:
    return eqn.params["mesh"].size * _descend(eqn)


_RULES: dict[str, Callable[[Any], int]] = {
    "dot_general": _dot,
    "conv_general_dilated": _conv,
    "cholesky": _cholesky,
    "triangular_solve": _triangular,
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "custom_linear_solve": _linear_solve,
    "shard_map": _shard_map,
}


def _trips(eqn: Any) -> int | None:
    """How often a loop runs that counts by one from a literal to a literal."""
    cond, body = (_open(eqn.params[f"{part}_jaxpr"]) for part in ("cond", "body"))
    consts = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    if len(cond.eqns) != 1 or cond.eqns[0].primitive.name != "lt":
        return None
    counter, end = cond.eqns[0].invars
    if isinstance(counter, jex.Literal) or not isinstance(end, jex.Literal):
        return None
    place = cond.invars.index(counter) - consts[0]
    start = eqn.invars[sum(consts) + place]
    if place < 0 or not isinstance(start, jex.Literal):
        return None
    made = [e for e in body.eqns if body.outvars[place] in e.outvars]
    inside = body.invars[consts[1] + place]
    if not made or made[0].primitive.name != "add" or inside not in made[0].invars:
        return None
    steps = [v.val for v in made[0].invars if isinstance(v, jex.Literal)]
    return max(0, int(end.val) - int(start.val)) if steps == [1] else None
