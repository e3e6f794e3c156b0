"""Planner of a long-context training step: its time, memory and communication on paper."""
