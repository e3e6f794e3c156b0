"""Command `omni-lab plan`: its table, its JSON, its picture, and what it refuses in one line."""

import contextlib
import io
import json
import re

import pytest
from matplotlib.colors import to_hex

from figures import gids, words
from omni_lab.cli.main import main
from omni_lab.errors import UsageError
from omni_lab.plots.systems.plan import draw_plan


def plan(capsys, *arguments):
    """Exit code, standard output and standard error."""
    try:
        code = main(["plan", *map(str, arguments)])
    except SystemExit as left:
        code = left.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture(scope="module")
def record():
    """Record of `--json` for both lengths on 8 to 512 GPUs."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["plan", "--tokens", "131072", "524288", "--json"]) == 0
    return json.loads(out.getvalue())


def test_both_lengths_are_planned_on_every_number_of_gpus(record):
    assert [(step["tokens"], step["gpus"]) for step in record["plans"]] == [
        (tokens, gpus) for tokens in (131_072, 524_288) for gpus in (8, 16, 32, 64, 128, 256, 512)
    ]
    for step in record["plans"]:
        assert step["ranks"] == step["gpus"]
        assert step["hides"] == (step["gpus"] <= record["most_ranks"][str(step["tokens"])])
    assert record["parameters"] == 7_615_616_512
    assert record["machine"]["nvlink"] == 450e9 and record["engine"] == "ring"


def test_the_table_names_its_assumptions_and_shows_the_records_numbers(capsys, record):
    code, out, _ = plan(capsys, "--tokens", 131_072)
    assert code == 0
    assert (
        "989.4 TFLOP/s, 80 GiB" in out
        and "NVLink 450 GB/s in nodes of 8, network 50 GB/s, 10 µs a message" in out
    )
    assert "matrix products reach 0.65 of the peak, attention 0.55; 6 GiB are kept free" in out
    assert "vocabulary 152,064, output layer of its own: 7.62 B parameters" in out
    (assumed,) = re.findall(r"^memory .*$", out, re.M)
    assert "loss in pieces of 4,194,304 logits, 8 bytes each" in assumed
    beyond = "beyond   what `omni-lab train` does: weights sharded, layers run forward twice"
    assert beyond in out
    alone = plan(capsys, "--tokens", 8192, "--gpus", 1, "--no-recompute")[1]
    assert "memory " in alone and "beyond" not in alone
    most = record["most_ranks"]["131072"]
    assert f"131,072 tokens: communication hides up to {most} GPUs per sequence" in out
    rows = re.findall(r"^ +\d+ +\d+ +\d+ \|.*$", out, re.M)
    assert len(rows) == 7
    for row, step in zip(rows, record["plans"], strict=False):
        cells = row.replace("|", " ").split()
        assert cells[:3] == [str(step[name]) for name in ("gpus", "ranks", "tokens_per_gpu")]
        assert float(cells[3]) == pytest.approx(step["step_s"], abs=1e-3)
        assert float(cells[12]) == pytest.approx(step["memory"]["total"] / 2**30, abs=0.06)
        assert cells[13:15] == ["yes" if step[name] else "NO" for name in ("fits", "hides")]
    assert max(map(len, rows)) <= 125


def test_the_loss_is_planned_in_pieces_as_training_makes_it(capsys, record):
    words, width = 152_064, 3584
    piece = 8 * (2**22 // words) * words
    output_layer = words * width * 6  # its gradient in float32, what a piece adds in bf16
    for step in record["plans"]:
        memory = step["memory"]
        assert memory["loss"] == piece + output_layer + 4 * width * step["tokens_per_gpu"]
        assert memory["working"] == max(memory["loss"], memory["layer"] + memory["buffers"])
        parts = ("weights", "optimizer", "gathered", "activations", "working")
        assert memory["total"] == sum(memory[part] for part in parts)
    few = ("--tokens", 131_072, "--gpus", 8, "--supervised", 0.1, "--json")
    (step,) = json.loads(plan(capsys, *few)[1])["plans"]
    assert step["memory"]["loss"] == piece + output_layer + 4 * width * 1639  # of 16,384 tokens


def test_a_tied_output_layer_is_planned_once(capsys):
    tied = ("--set", "model.decoder.tie_word_embeddings=true")
    out = plan(capsys, "--tokens", 131_072, "--gpus", 8, *tied)[1]
    assert "output layer tied to it: 7.07 B parameters" in out


def test_every_number_of_the_machine_can_be_put_in(capsys):
    given = {"peak": 100, "memory": 16, "nvlink": 100, "network": 10, "latency": 5, "node": 4}
    given |= {"reserve": 1}
    fractions = {"matmul-use": 0.5, "attention-use": 0.4}
    options = [part for name, value in (given | fractions).items() for part in (f"--{name}", value)]
    size = ("--tokens", 65_536, "--gpus", 8)
    code, out, _ = plan(capsys, *size, "--gpu", "a100", *options, "--json")

    machine = json.loads(out)["machine"]
    assert code == 0 and machine == {
        "name": "a100", "peak_flops": 100e12, "memory": 16 * 2**30, "nvlink": 100e9,
        "network": 10e9, "latency_s": pytest.approx(5e-6), "node": 4, "matmul_use": 0.5,
        "attention_use": 0.4, "reserve": 2**30,
    }  # fmt: skip
    assert not json.loads(out)["plans"][0]["fits"]


def test_slower_networks_stop_hiding_sooner(capsys):
    found = []
    for network in (400, 50, 25):
        out = plan(capsys, "--tokens", 131_072, "--gpus", 8, "--network", network, "--json")[1]
        found.append(json.loads(out)["most_ranks"]["131072"])
    assert found[0] > found[1] > found[2]


def test_a_preset_and_its_settings_change_the_decoder(capsys):
    more = ("--preset", "tiny", "--set", "model.decoder.layers=5", "--vocabulary", 500)
    code, out, _ = plan(capsys, "--tokens", 8192, "--gpus", 1, *more)
    assert code == 0
    assert (
        "decoder of tiny: 5 layers, width 96, 4 query and 4 K/V heads of 32, vocabulary 500" in out
    )


def test_engines_without_overlap_hide_nothing(capsys):
    code, out, _ = plan(
        capsys, "--tokens", 131_072, "--gpus", 32, "--ranks", 4, "--engine", "ulysses"
    )
    assert code == 0
    assert "hides    nothing: ulysses communicates before and after attention, not during it" in out
    assert "up to" not in out


def test_a_network_too_slow_to_hide_is_reported_as_never(capsys):
    code, out, _ = plan(
        capsys, "--tokens", 65_536, "--gpus", 16, "--network", 1e-6, "--layout", "contiguous"
    )
    assert code == 0 and "hides    over network: never" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--tokens", 131_072, "--engine", "ulysses"],
            "Ulysses over 8 ranks: 28 query and 4 K/V heads",
        ),
        (["--tokens", 131_072, "--network", -1], "network must be above 0"),
        (["--tokens", 131_072, "--latency", "nan"], "latency_s must be 0 or more"),
        (["--tokens", 131_072, "--matmul-use", 2], "matmul_use must be above 0 and at most 1"),
        (["--tokens", 100], "100 tokens over 64 ranks: zigzag needs 128 tokens"),
        (
            ["--tokens", 131_072, "--ranks", 16],
            "8 GPUs do not divide into groups of 16 ranks: take a context-parallel size",
        ),
        (
            ["--tokens", 131_072, "--supervised", 1.5],
            "supervised = 1.5 is impossible: it must be between 0 and 1",
        ),
        (["--tokens", 1 << 40], "pairs are counted in 64 bits"),
        (["--tokens", 4096, "--preset", "huge"], "--preset huge: there are tiny, small, full_7b"),
        (["--tokens", 4096, "--figure", "plan.doc"], "plan.doc: pictures are written as"),
    ],
)
def test_the_impossible_is_refused_in_one_line(capsys, arguments, message):
    code, out, err = plan(capsys, *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert err.startswith("omni-lab: ") and message in err


def test_the_picture_shows_the_records_fractions_and_marks_the_crossing(record):
    figure = draw_plan(record)
    bars = gids(figure, "time:")
    assert len(bars) == 14 * 4
    for number, step in enumerate(record["plans"][:7]):
        for part in ("work_s", "exposed_attention_s"):
            assert bars[f"time:131072:{number}:{part}"].get_height() == pytest.approx(
                step[part] / step["step_s"]
            )
    held = gids(figure, "memory:524288:0:").values()
    assert sum(bar.get_height() for bar in held) == pytest.approx(
        record["plans"][7]["memory"]["total"] / 2**30
    )
    assert set(gids(figure, "crossing:")) == {
        f"crossing:{most}" for most in record["most_ranks"].values()
    }
    assert set(gids(figure, "limit:")) == {"limit:74"}
    assert len({to_hex(bar.get_facecolor()) for bar in bars.values()}) == 4
    assert "131,072 tokens · ring, zigzag" in words(figure)
    assert "communication hides up to" in figure.alt and "h100" in figure.alt


def test_no_bar_grows_out_of_the_picture(capsys):
    asked = ("--tokens", 131_072, 524_288, "--gpus", 8, 64, "--no-recompute", "--json")
    figure = draw_plan(json.loads(plan(capsys, *asked)[1]))
    for bar in gids(figure, "memory:").values():
        assert bar.get_y() + bar.get_height() <= bar.axes.get_ylim()[1]


def test_no_crossing_is_drawn_outside_or_for_several_sequences_at_once(capsys, record):
    few = {**record, "plans": [step for step in record["plans"] if step["gpus"] <= 32]}
    assert not gids(draw_plan(few), "crossing:")
    groups = json.loads(
        plan(capsys, "--tokens", 131_072, "--gpus", 8, 64, "--ranks", 8, "--json")[1]
    )
    assert not gids(draw_plan(groups), "crossing:")
    with pytest.raises(UsageError, match="no plan to draw"):
        draw_plan({**record, "plans": []})


def test_the_picture_is_written_where_it_was_asked_for(capsys, own_folder):
    code, out, _ = plan(capsys, "--tokens", 65_536, "--gpus", 8, "--figure", "plan.svg")
    assert code == 0 and out.endswith("picture: plan.svg\n")
    assert (own_folder / "plan.svg").stat().st_size > 1000
