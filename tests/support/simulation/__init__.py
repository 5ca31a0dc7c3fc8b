"""Simulates batches with faults and crashes in virtual time: the real engine against the emulator's service.

One seed is one scenario: some clips, some processes with faults and crashes, and at last processes without faults until
everything is done. A process dies at a *step*: before or after a change of the journal, before, during or after a
request, or when a webhook delivery comes. From then on nothing that it does has any effect, its cleanup included. In
every fourth scenario the sessions have webhooks, whose deliveries are late, lost, doubled, shuffled and forged. In some
scenarios uploads are torn down while they wait for the journal, and the journal does not say whether it has stored a
change. The checks compare what the client believes with the emulator's ledger.

`python -m tests.support.simulation 1234 --verbose` simulates one scenario and prints what happens;
`python -m tests.support.simulation --scenarios 20000` simulates many. With `--cut-short-is-charged` the service charges
for starts that were cut short, against what `policy.start_fate.CUT_SHORT_IS_FREE` assumes.
"""

from .one_journal import simulate, violations_of
from .scenario import Scenario, scenario_of
from .shared_scenario import SharedScenario, shared_scenario_of
from .shared_world import SharedWorld, shared_violations_of, simulate_shared

__all__ = [
    "Scenario",
    "SharedScenario",
    "SharedWorld",
    "scenario_of",
    "shared_scenario_of",
    "shared_violations_of",
    "simulate",
    "simulate_shared",
    "violations_of",
]
