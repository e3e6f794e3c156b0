"""The films experiment: each course is a call of `omni-lab train` on films of its own, the gap its measure."""

import pytest

from omni_lab.config import override, tiny
from omni_lab.reproduce.experiments.from_films import (
    COURSES,
    FACTS,
    PARTS,
    command,
    film_seconds,
    numbers,
)
from omni_lab.world.gallery_lessons import CURRICULUM


def test_courses_take_the_steps_of_the_demos_stages_and_films_no_scene_twice():
    config = tiny()
    for stage in config.training.stages:
        courses = [course for course in COURSES if course.stage == stage.name]
        assert sum(course.steps(config) for course in courses) == stage.steps
    curriculum = config.training.stage("vision").curriculum_fraction
    starts = [curriculum * start for start, _ in CURRICULUM]
    parts = [course.part for course in COURSES if course.stage == "vision"]
    assert [sum(parts[:n]) for n in range(len(parts))] == pytest.approx(starts, abs=0.005)
    kinds = [(course.name, kind) for course in COURSES for kind in course.films]
    assert len(kinds) == len(set(kinds))
    # an eighth of what as many steps show
    total = sum(film_seconds(c, kind, config) for c in COURSES for kind in c.films)
    shown = 560 * 48 * 2 + 260 * 48 * 2 + 410 * 24 * 8
    assert total == pytest.approx(shown / 8, rel=1e-3)


def test_the_call_of_a_course_is_one_that_omni_lab_train_takes(tmp_path):
    from omni_lab.cli.main import build_parser
    from omni_lab.cli.train import chosen

    config = override(tiny(), ["seed=5"])
    for course in COURSES:
        call = command(course, config, tmp_path / "data", tmp_path / "run", tmp_path / "before")
        settings = chosen(build_parser().parse_args(call))
        (stage,) = settings.training.stages
        assert settings.seed == 5 and settings.training.threads == 1
        assert (stage.name, stage.sources) == (course.stage, ("shards",))
        assert stage.steps == course.steps(config)
        assert settings.data.shards == str(tmp_path / "data")


def test_a_gap_is_what_all_films_lack_and_what_twice_as_many_lack():
    rows = {part: {"facts": dict.fromkeys(FACTS, 0.9 * min(part, 1))} for part in PARTS}
    rows[2.0] = {"facts": dict.fromkeys(FACTS, 0.94)}
    found = numbers(rows, {f"facts.{fact}": 0.95 for fact in FACTS})
    assert found["gap.colour"] == pytest.approx(0.05)
    assert found["gap_2.colour"] == pytest.approx(0.01)
    assert found["films_0.125.motion"] == pytest.approx(0.1125)
    assert found["generated.lowest"] == 0.95
