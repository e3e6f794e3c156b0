"""Diagnostic power of the exercises' checkers, measured on mistakes that a machine makes."""

from omni_lab.check.diagnosis.power import EXERCISES, Exercise, Power, power

__all__ = ["EXERCISES", "Exercise", "Power", "power"]
