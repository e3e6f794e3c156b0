"""Stages, schedules, optimizers and one loop, the same in one process or many."""
