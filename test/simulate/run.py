"""``make simulate SEEDS=2000`` runs many seeds; ``make simulate SEED=17`` repeats one and prints its trace."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from aimctl.testing import simulation_main
from simulate.scenario import AimScenario

if __name__ == "__main__":
    sys.exit(simulation_main(AimScenario))
