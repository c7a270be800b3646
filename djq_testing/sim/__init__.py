"""The simulator: a whole cluster on a seed and a manual clock, with faults that the seed replays."""

from __future__ import annotations

from djq_testing.sim.case import Case
from djq_testing.sim.parts import Parts
from djq_testing.sim.simulator import Run, simulate

__all__ = ["Case", "Parts", "Run", "simulate"]
