"""Training data of a stage by its name, for tests."""

from omni_lab.world.source import lessons


def lessons_of(config, name, films=None):
    """The gallery's lessons of the stage of that name, wherever it stands."""
    return lessons(config, config.every_stage()[name], films)
