"""Does the regression loss fall on images the distillation never saw?

python experiments/held_out.py --workdir runs/NAME

For a finished krr_ssl run: the outer loss on all test images, averaged over one fixed
pool of networks (the one aged on the initial set), with the initial and with the final
set. Prints and returns JSON.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import artefact, whiten
from jaxdd.base import Batch, State
from jaxdd.networks.teacher import represent
from jaxdd.prepare import prepare_all
from jaxdd.run import workdir
from jaxdd.run.cli import parse
from jaxdd.run.config import RunConfig
from jaxdd.run.context import make_context
from jaxdd.run.plan import Plan, key_of, make_plan

_DRAWS = 40  # of a network from the pool, the same for both sets


def held_out_loss(config: RunConfig, folder: Path) -> list[dict[str, float]]:
    """The loss on test images before and after, one entry per seed."""
    quiet = dataclasses.replace(config.run, progress=False)
    context = make_context(dataclasses.replace(config, run=quiet))
    dataset = context.load(config.data)
    plan = make_plan(config, dataset)
    assets = prepare_all(plan.distiller.needs, dataset, context.site(plan)).assets
    batch = _test_batch(plan, assets)
    rows = []
    for seed in config.numbered(config.seeds):
        begin = plan.distiller.init(key_of(seed), dataset.train, assets)
        if plan.warm is not None:
            steps, data = plan.distiller.warm_steps, (dataset.train, assets)
            begin, _ = context.loop(plan.warm, begin, steps, data, stage=f"warm{seed}")
        final = artefact.load(workdir.set_folder(folder, config, seed)).synthetic
        params = {"image": final.image, "target": final.target}
        first, last = (
            _loss(plan, begin._replace(params=p), batch, assets)
            for p in (begin.params, params)
        )
        rows.append({"seed": seed, "initial": first, "final": last})
    return rows


def _test_batch(plan: Plan, assets: dict) -> Batch:
    test = plan.dataset.test
    assert test is not None
    image = whiten.apply(test.whitening, whiten.to_unit(test.image))
    _, teacher, _ = represent(plan.config.distill.teacher, test.image_shape, "float32")
    target = jax.jit(teacher)(assets["teacher"].variables, image)
    return Batch(image, target, jnp.arange(test.size), jnp.ones(test.size))


def _loss(plan: Plan, state: State, batch: Batch, assets: dict) -> float:
    gradient = plan.distiller.gradient
    assert gradient is not None

    @jax.jit
    def mean(state: State, batch: Batch, assets: dict) -> jax.Array:
        def one(draw: jax.Array) -> jax.Array:
            return gradient(state._replace(step=draw), batch, assets)[1]["loss"]

        return jnp.mean(jax.lax.map(one, jnp.arange(_DRAWS)))

    return float(mean(state, batch, assets))


def main() -> None:
    """Reads the run's own command from its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True)
    folder = parser.parse_args().workdir
    command = json.loads((folder / "report.json").read_text())["command"].split()[2:]
    rows = held_out_loss(parse(command), folder)
    falls = [1 - row["final"] / row["initial"] for row in rows]
    print(json.dumps({"rows": rows, "mean_fall": float(np.mean(falls))}))


if __name__ == "__main__":
    main()
