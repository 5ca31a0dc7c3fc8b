"""Simulates scenarios from the command line: see the package."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

from attrs import evolve

from tests.support import simulation as package
from tests.support.simulation import (
    scenario_of,
    shared_scenario_of,
    shared_violations_of,
    simulate,
    simulate_shared,
    violations_of,
)


def _main() -> int:
    parser = argparse.ArgumentParser(description=package.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", nargs="?", type=int, help="Simulates this scenario only.")
    parser.add_argument("--scenarios", type=int, default=2_000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--once", action="store_true", help="Stops after the first scenario with a violation.")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--cut-short-is-charged", action="store_true")
    parser.add_argument("--workers", action="store_true", help="Simulates several workers on one journal.")
    options = parser.parse_args()
    if options.workers:
        return _of_workers(options)
    changes = {"cut_short_is_charged": options.cut_short_is_charged}
    if options.seed is not None:
        scenario = evolve(scenario_of(options.seed), **changes)
        print(scenario)
        simulation = simulate(scenario, verbose=options.verbose)
        print("\n".join(simulation.violations) or "no violations")
        return bool(simulation.violations)
    seeds = range(options.first, options.first + options.scenarios)
    return _report(seeds, violations_of(seeds, **changes), once=options.once)


def _of_workers(options: argparse.Namespace) -> int:
    if options.seed is not None:
        scenario = shared_scenario_of(options.seed)
        print(scenario)
        judge = simulate_shared(scenario, verbose=options.verbose).judge
        print("\n".join(judge.violations) or "no violations")
        return bool(judge.violations)
    seeds = range(options.first, options.first + options.scenarios)
    return _report(seeds, shared_violations_of(seeds), once=options.once)


def _report(seeds: Sequence[int], violated: Iterator[tuple[int, list[str]]], *, once: bool) -> int:
    began, found = time.monotonic(), 0
    for seed, violations in violated:
        found += 1
        print(f"{seed}: {'; '.join(violations)}")
        if once:
            return 1
    print(f"{len(seeds)} scenarios in {time.monotonic() - began:.0f} s, {found} with violations")
    return bool(found)


if __name__ == "__main__":
    sys.exit(_main())
