"""Print the tables of docs/notes/grid-costs.md: what the paper's grids cost, from counted operations and assumed rates.

.venv/bin/python scripts/scaling.py
"""

from __future__ import annotations

from surefoot.benchmark.grid import load_grid
from surefoot.benchmark.planning import cell_cost

GRIDS = ("paper-suites", "paper-norms", "paper-utd", "paper-ablations")

# Effective operations per second in gradient updates.
RATES = {
    # Measured: 57 updates/s of CrossQ + WN (2.51 GFLOP) on both cores, `surefoot bench speed`.
    "2 CPU cores": 57 * 2.51e9,
    # Assumed: ten vmapped seeds of CrossQ + WN reach 10 of a GPU's 60 TFLOP/s in float32.
    "one GPU": 10e12,
}
CORES = {"2 CPU cores": 2, "one GPU": 16}
# Of networks 256 wide a GPU reaches less: 3 TFLOP/s is what SR-SAC's authors report for ten vmapped seeds.
NARROW = ("sac", "sr-sac")
NARROW_RATE = 3e12
STEPS_PER_CORE = {"dmc": 6_000, "myosuite": 1_500}  # control steps per second, measured on the same machine


def main() -> None:
    """Count and print."""
    print("| grid | cells | env steps | gradient updates | matrix products | disk |")
    print("|---|---|---|---|---|---|")
    totals = {}
    for name in GRIDS:
        costs = [cell_cost(cell) for cell in load_grid(name).cells]
        steps = {
            suite: sum(c.env_steps for c in costs if c.name.startswith("myo-") == (suite == "myosuite"))
            for suite in STEPS_PER_CORE
        }
        flop, updates = sum(c.flop for c in costs), sum(c.grad_steps for c in costs)
        disk = sum(c.disk_bytes for c in costs)
        gpu = {c.name: c.flop / (NARROW_RATE if is_narrow(c.name) else RATES["one GPU"]) for c in costs}
        seconds = {"2 CPU cores": flop / RATES["2 CPU cores"], "one GPU": sum(gpu.values())}
        totals[name] = (len(costs), steps, seconds, max(gpu.values()))
        print(
            f"| `{name}` | {len(costs)} | {sum(steps.values()) / 1e9:.1f} G | {updates / 1e9:.1f} G | "
            f"{flop / 1e18:.1f} EFLOP | {disk / 1e9:.0f} GB |",
            flush=True,
        )
    print("\n| grid | " + " | ".join(f"{place}: updates, simulator" for place in RATES) + " |")
    print("|---|" + "---|" * len(RATES))
    for name, (_, steps, seconds, _) in totals.items():
        cells = []
        for place, taken in seconds.items():
            simulator = sum(count / STEPS_PER_CORE[suite] for suite, count in steps.items()) / CORES[place]
            cells.append(f"{taken / 86_400:,.1f} d, {simulator / 86_400:,.1f} d")
        print(f"| `{name}` | {' | '.join(cells)} |")
    print("\n| grid | 1 GPU | 8 GPUs | 50 nodes x 4 GPUs | longest cell |")
    print("|---|---|---|---|---|")
    for name, (count, steps, seconds, longest) in totals.items():
        update = seconds["one GPU"]
        simulator = sum(n / STEPS_PER_CORE[suite] for suite, n in steps.items()) / CORES["one GPU"]
        whole = update + simulator
        longest_seconds = longest + simulator / count
        shown = [max(whole / min(gpus, count), longest_seconds) / 3600 for gpus in (1, 8, 200)]
        print(f"| `{name}` | {' | '.join(f'{hours:,.1f} h' for hours in shown)} | {longest_seconds / 3600:.1f} h |")


def is_narrow(cell: str) -> bool:
    """Say whether a cell's networks are too narrow to fill a GPU."""
    return cell.split("--")[1] in NARROW


if __name__ == "__main__":
    main()
