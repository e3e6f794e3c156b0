"""Diagnostic power of the exercises' checkers, measured on mistakes that a machine makes."""

from omni_lab.check.diagnosis.course import EXERCISES
from omni_lab.check.diagnosis.power import Exercise, Power, power

__all__ = ["EXERCISES", "Exercise", "Power", "power"]
