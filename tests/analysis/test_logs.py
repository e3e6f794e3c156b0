"""Training logs of any origin: every common format gives the same curve, and what was mended is said."""

import csv
import io
import json
import sys

import numpy as np
import pytest

from omni_lab.analysis.logs import read_log, read_logs
from omni_lab.demo import recorded_run
from omni_lab.errors import InputError, UsageError

STEPS = list(range(10, 210, 10))
LOSS = [round(5 * step**-0.3, 4) for step in STEPS]
RATES = [round(1e-3 * (1 - step / 210), 8) for step in STEPS]
ROWS = list(zip(STEPS, LOSS, RATES, strict=True))


def table(header, rows, delimiter=","):
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([*([header] if header else []), *rows])
    return out.getvalue()


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


HISTORY = [
    *({"epoch": s / 100, "loss": v, "learning_rate": r, "grad_norm": 1.0, "step": s} for s, v, r in ROWS),
    {"epoch": 2.0, "eval_loss": 1.9, "eval_runtime": 1.0, "step": 200},
    {"epoch": 2.0, "train_loss": 1.5, "train_runtime": 9.0, "total_flos": 10**15, "step": 200},
]  # fmt: skip
FORMATS = {
    "trainer_state.json": json.dumps({"global_step": 200, "best_metric": None, "log_history": HISTORY}),
    "plain.csv": table(["step", "loss", "lr"], ROWS),
    "tabs.tsv": table(["Step", "Training Loss", "Learning Rate"], ROWS, "\t"),
    "european.csv": table(
        ["step", "loss", "lr"],
        [[f"{x}".replace(".", ",") for x in (s, v, f"{r:.8f}")] for s, v, r in ROWS], ";",
    ),
    "blanks.txt": "# step loss lr\n" + "".join(f"{s:8d}   {v}  {r}\n" for s, v, r in ROWS),
    "flat.jsonl": lines({"iter": s, "train_loss": v, "lr": r} for s, v, r in ROWS),
    "nested.jsonl": lines({"_step": s, "train": {"loss": v, "lr": r}} for s, v, r in ROWS),
    "texts.jsonl": lines({"step": str(s), "loss": str(v), "lr": f"{r:e}"} for s, v, r in ROWS),
    "rows.json": json.dumps([{"step": s, "loss": v, "lr": r} for s, v, r in ROWS]),
    "columns.json": json.dumps({"step": STEPS, "loss": LOSS, "lr": RATES}, indent=1),
    "nanogpt.log": "tokens per iteration: 1,024\n"
    + "".join(f"iter {s}: loss {v}, time 12.3ms, mfu 1.2%, lr {r}\n" for s, v, r in ROWS),
    "megatron.log": "".join(
        f" [2026-11-30 03:14:{s % 60:02d}] iteration {s:8d}/     200 | consumed samples: {s * 8} | learning rate:"
        f" {r:.6E} | lm loss: {v:.6E} | loss scale: 1.0 | grad norm: 0.5 |\n" for s, v, r in ROWS
    ),
    "bars.log": "\r".join(
        f" {s}/200 [00:{s % 60:02d}<00:10, 4.30it/s, loss={v}, lr={r}]" for s, v, r in ROWS
    ),
    "wandb.csv": table(
        ["Step", "run-1 - train/loss", "run-1 - train/loss__MIN", "run-1 - train/loss__MAX"],
        [(s, v, v, v) for s, v, _ in ROWS],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_curve(name, own_folder):
    (own_folder / name).write_text(FORMATS[name])
    log = read_log(name)
    curve = log.curves[log.main]
    assert curve.steps.tolist() == STEPS
    np.testing.assert_allclose(curve.values, LOSS)
    assert next(iter(log.curves)) == log.main
    if log.rates is not None:
        np.testing.assert_allclose(log.rates.values, RATES, rtol=1e-5)
    else:
        assert name == "wandb.csv", "all others have a learning rate"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32"])
def test_a_file_is_read_in_the_encoding_it_has(encoding, own_folder):
    text = table(["step", "loss", "größe"], [(*row[:2], 1) for row in ROWS])
    (own_folder / "log.csv").write_bytes(text.encode(encoding))
    assert read_log("log.csv").curves["loss"].values.tolist() == LOSS


def test_the_recorded_run_is_read_with_its_stages_one_behind_the_other():
    log = read_log(recorded_run())
    steps = log.curves["loss"].steps
    assert np.array_equal(steps, np.arange(1230)) and list(log.curves)[:3] == [
        "loss",
        "stream",
        "caption",
    ]
    assert [(e.step, e.what) for e in log.events if e.kind == "stage"] == [
        (0, "vision"),
        (560, "audio"),
        (820, "omni"),
    ]
    decays = [e for e in log.events if e.kind == "rate" and "decay" in e.what]
    assert [(e.step, e.end) for e in decays] == [(336, 556), (729, 819), (902, 1224)]
    assert all(e.what.startswith("linear decay") for e in decays)

    audio = read_log(recorded_run(), stage="audio").curves["loss"]
    assert np.array_equal(audio.steps, np.arange(260))
    assert np.array_equal(audio.values, log.curves["loss"].values[560:820])
    with pytest.raises(UsageError, match="has the stages vision, audio, omni"):
        read_log(recorded_run(), stage="vision2")


def test_curves_of_facts_and_senses_stand_beside_the_main_one_where_they_have_values(own_folder):
    rows = [
        {"step": s, "loss": v, "facts": {"colour": v / 2} | ({"word": v} if s % 20 == 0 else {}),
         "senses": {"image": v}, "grad_norm": {"image": 9}, "clip": {"image": 1}}
        for s, v, _ in ROWS
    ]  # fmt: skip
    (own_folder / "metrics.jsonl").write_text(lines(rows))
    log = read_log(own_folder)
    assert next(iter(log.curves)) == "loss"
    assert set(log.curves) == {"loss", "facts.colour", "facts.word", "senses.image"}
    assert log.curves["facts.word"].steps.tolist() == [s for s in STEPS if s % 20 == 0]
    assert log.name == own_folder.name, (
        "a file that is called alike in every run has its folder's name"
    )


def test_evaluation_rows_go_to_held_out(own_folder):
    (own_folder / "trainer_state.json").write_text(
        json.dumps({"log_history": [*HISTORY, {"eval_loss": 1.8, "step": 210}]})
    )
    log = read_log(own_folder)
    assert list(log.held_out) == ["eval_loss"]
    assert log.held_out["eval_loss"].values.tolist() == [1.9, 1.8]

    rows = [{"step": s, "loss": v, "split": w} for s, v, _ in ROWS for w in ("train", "val")]
    (own_folder / "split.jsonl").write_text(lines(rows))
    log = read_log("split.jsonl")
    assert log.curves["loss"].steps.tolist() == log.held_out["loss"].steps.tolist() == STEPS


def test_lightnings_empty_cells_are_no_faults(own_folder):
    rows = []
    for epoch, (s, v, r) in enumerate(ROWS):
        rows += [(epoch, s, v, "", r, ""), (epoch, s, "", v + 0.1, "", v + 1)]
    header = ["epoch", "step", "train_loss_step", "train_loss_epoch", "lr-AdamW", "val_loss"]
    (own_folder / "version_0").mkdir()
    (own_folder / "version_0" / "metrics.csv").write_text(table(header, rows))
    log = read_log("version_0")
    assert log.main == "train_loss_step" and log.curves[log.main].values.tolist() == LOSS
    assert set(log.curves) == {"train_loss_step", "train_loss_epoch"} and set(log.held_out) == {
        "val_loss"
    }
    assert not [e for e in log.events if e.kind == "fault"]


def test_nan_rows_are_left_out_and_said(own_folder):
    text = "".join(
        f'{{"step": {s}, "loss": {"NaN" if 50 <= s <= 70 else v}}}\n' for s, v, _ in ROWS
    )
    (own_folder / "log.jsonl").write_text(text + '{"step": 999, "loss": -Infinity}\n')
    log = read_log("log.jsonl")
    assert len(log.curves["loss"].steps) == 17
    assert "4 rows with NaN or infinite loss left out (steps 50 to 999)" in log.notes
    assert [(e.step, e.end) for e in log.events if e.kind == "fault"] == [(50, 70), (999, None)]


def test_after_a_restart_the_later_values_count(own_folder):
    again = [(s, v + 1) for s, v, _ in ROWS if 100 < s <= 150]
    first = [(s, v) for s, v, _ in ROWS]
    (own_folder / "log.csv").write_text(table(["step", "loss"], [*first, *again]))
    log = read_log("log.csv")
    curve = log.curves["loss"]
    assert curve.steps.tolist() == STEPS[:15], "what the abandoned attempt reached later is gone"
    assert curve.values.tolist() == [v for _, v in first[:10]] + [v for _, v in again]
    (event,) = [e for e in log.events if e.kind == "restart"]
    assert event.step == 110 and "from 200" in event.what


def test_rows_out_of_order_are_no_restart(own_folder):
    rows = [(s, v) for s, v, _ in ROWS]
    rows[4], rows[5] = rows[5], rows[4]
    for name, shuffled in (("swapped", rows), ("reversed", [(s, v) for s, v, _ in ROWS][::-1])):
        (own_folder / f"{name}.csv").write_text(table(["step", "loss"], shuffled))
        log = read_log(f"{name}.csv")
        assert log.curves["loss"].values.tolist() == LOSS
        assert not [e for e in log.events if e.kind == "restart"]
        assert any("out of order" in note for note in log.notes)


def test_duplicate_rows_count_once_and_many_rows_of_a_step_are_averaged(own_folder):
    doubled = [(s, v) for s, v, _ in ROWS for _ in range(2)]
    (own_folder / "twice.csv").write_text(table(["step", "loss"], doubled))
    log = read_log("twice.csv")
    assert log.curves["loss"].values.tolist() == LOSS and "20 duplicate rows left out" in log.notes

    ranks = [(s, v + d) for s, v, _ in ROWS for d in (-0.5, 0.5)]
    (own_folder / "ranks.csv").write_text(table(["step", "loss"], ranks))
    log = read_log("ranks.csv")
    np.testing.assert_allclose(log.curves["loss"].values, LOSS)
    assert any("their mean counts" in note for note in log.notes)


def test_a_half_line_at_the_end_is_left_out_and_said(own_folder):
    whole = FORMATS["flat.jsonl"]
    (own_folder / "log.jsonl").write_text(whole[: len(whole) - 9])
    log = read_log("log.jsonl")
    assert log.curves["train_loss"].steps.tolist() == STEPS[:-1]
    assert "the last line is cut off and left out" in log.notes


def test_gaps_are_events_and_a_log_that_grows_sparser_has_none(own_folder):
    rows = [row[:2] for row in ROWS if not 60 < row[0] < 160]
    (own_folder / "gap.csv").write_text(table(["step", "loss"], rows))
    assert [(e.step, e.end) for e in read_log("gap.csv").events if e.kind == "gap"] == [(60, 160)]
    (own_folder / "powers.csv").write_text(
        table(["step", "loss"], [(2**i, v) for i, v in enumerate(LOSS)])
    )
    assert not [e for e in read_log("powers.csv").events if e.kind == "gap"]


def test_switches_of_stage_data_and_length_are_events_and_mixed_data_are_not(own_folder):
    rows = [
        {"step": s, "loss": v, "seq_len": 512 if s < 100 else 2048, "dataset": "ab"[s // 10 % 2]}
        for s, v, _ in ROWS
    ]
    (own_folder / "log.jsonl").write_text(lines(rows))
    log = read_log("log.jsonl")
    assert [(e.step, e.kind, e.what) for e in log.events] == [(100, "data", "seq_len: 512 → 2048")]
    assert any("'dataset' changes 19 times" in note for note in log.notes)


def test_without_steps_rows_are_numbered_and_another_axis_is_taken_when_asked_for(own_folder):
    (own_folder / "log.csv").write_text(
        table(["tokens", "loss"], [(s * 512, v) for s, v, _ in ROWS])
    )
    log = read_log("log.csv")
    assert log.curves["loss"].steps.tolist() == list(range(20))
    assert (
        log.notes[0]
        == "no column of steps: rows are numbered from 0 (--step tokens takes that column)"
    )
    assert read_log("log.csv", step="Tokens").curves["loss"].steps[-1] == 200 * 512


def test_rows_without_a_header_are_read_where_that_is_safe(own_folder):
    (own_folder / "pairs.txt").write_text(table(None, [row[:2] for row in ROWS]))
    log = read_log("pairs.txt")
    assert log.curves["column 2"].values.tolist() == LOSS and "no header" in log.notes[0]
    (own_folder / "alone.txt").write_text("".join(f"{v}\n" for v in LOSS))
    assert read_log("alone.txt").curves["column 1"].values.tolist() == LOSS
    (own_folder / "four.txt").write_text(table(None, [(*row, 1) for row in ROWS]))
    with pytest.raises(InputError, match=r"there are 'column 1', .*'column 4'; --loss NAME says"):
        read_log("four.txt")
    four = read_log("four.txt", step="column 1", loss="column 2")
    assert four.curves["column 2"].steps.tolist() == STEPS


def test_several_columns_that_may_be_the_loss_are_refused_by_name(own_folder):
    rows = [(s, v, v + 1, v + 2) for s, v, _ in ROWS]
    (own_folder / "log.csv").write_text(
        table(["step", "loss_image", "audio/loss", "accuracy"], rows)
    )
    with pytest.raises(InputError, match=r"'loss_image', 'audio/loss'; --loss NAME says"):
        read_log("log.csv")
    log = read_log("log.csv", loss="loss_image")
    assert list(log.curves) == ["loss_image", "audio/loss"]
    with pytest.raises(
        UsageError, match=r"--loss gone: no such column of numbers; there are 'step'"
    ):
        read_log("log.csv", loss="gone")
    assert read_log("log.csv", loss="accuracy").main == "accuracy"


def test_a_file_with_several_runs_names_them(own_folder):
    header = [
        "Step",
        *(f"run-{r} - train/loss{end}" for r in (1, 2) for end in ("", "__MIN", "__MAX")),
    ]
    rows = [(s, v, v, v, *[""] * 3) for s, v, _ in ROWS] + [
        (s, *[""] * 3, v + 1, v, v) for s, v, _ in ROWS
    ]
    (own_folder / "chart.csv").write_text(table(header, sorted(rows, key=lambda row: row[0])))
    with pytest.raises(InputError, match=r"2 runs in it: run-1, run-2; chart.csv#run-1 is one"):
        read_log("chart.csv")
    one, two = read_logs(["chart.csv"])
    assert (one.name, two.name, one.main) == ("chart run-1", "chart run-2", "train/loss")
    np.testing.assert_allclose(two.curves["train/loss"].values, np.array(LOSS) + 1)
    assert read_log("chart.csv#run-2").curves["train/loss"].values[0] == LOSS[0] + 1

    arms = {
        "details": {"curves": {"a": [{"tokens": STEPS, "loss": LOSS}] * 2, "b": []}},
        "seeds": [1, 2],
    }
    (own_folder / "record.json").write_text(json.dumps(arms))
    logs = read_logs(["record.json#a"], step="tokens")
    assert [log.name.split()[-1] for log in logs] == ["a/0", "a/1"]


def test_a_folder_of_runs_is_several_logs_and_of_checkpoints_the_furthest_counts(own_folder):
    for seed in (0, 1, 10):
        folder = own_folder / "runs" / f"seed{seed}"
        folder.mkdir(parents=True)
        (folder / "metrics.jsonl").write_text(
            lines({"step": s, "loss": v + seed} for s, v, _ in ROWS)
        )
    assert [log.name for log in read_logs(["runs"])] == ["seed0", "seed1", "seed10"]
    with pytest.raises(
        InputError, match=r"several logs in it: runs/seed0, runs/seed1, runs/seed10"
    ):
        read_log("runs")

    for step in (90, 100):
        folder = own_folder / "out" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        state = {
            "global_step": step,
            "log_history": [row for row in HISTORY if row["step"] <= step],
        }
        (folder / "trainer_state.json").write_text(json.dumps(state))
    log = read_log("out")
    assert log.curves["loss"].steps[-1] == 100 and log.name == "out"


def test_event_files_of_tensorboard_are_read_from_file_and_folder(own_folder):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter("tb") as writer:
        for s, v, r in ROWS:
            writer.add_scalar("train/loss", v, s)
            writer.add_scalar("train/lr", r, s)
            writer.add_scalar("perf/speed", 1.0, s)
        writer.add_scalar("eval/loss", 1.5, 100)
        writer.add_scalar("eval/loss", 1.2, 200)
        writer.add_text("note", "not a number", 3)
    for path in (own_folder / "tb", next((own_folder / "tb").iterdir())):
        log = read_log(path)
        assert log.main == "train/loss" and log.curves["train/loss"].steps.tolist() == STEPS
        np.testing.assert_allclose(log.curves["train/loss"].values, LOSS, rtol=1e-6)
        assert log.held_out["eval/loss"].values.tolist() == pytest.approx([1.5, 1.2])
        assert log.name == "tb" and log.rates.name == "train/lr"

    file = next((own_folder / "tb").iterdir())
    file.write_bytes(file.read_bytes()[:-7])
    assert read_log("tb").curves["train/loss"].steps[0] == 10, (
        "a last record that is cut off is left out"
    )
    file.write_bytes(b"\x18\0\0\0\0\0\0\0nonsense" * 9)
    with pytest.raises(InputError, match="no scalars|no event file"):
        read_log("tb")


def test_without_tensorboard_one_line_names_the_extra(own_folder, monkeypatch):
    (own_folder / "events.out.tfevents.1.host").write_bytes(b"\0" * 40)
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_file_loader", None)
    with pytest.raises(InputError, match=r"need the package \S+: pip install 'omni_lab\[logs\]'"):
        read_log(own_folder)


def test_a_decay_that_runs_on_over_passes_of_the_data_is_one_event_and_each_shape_has_its_name(
    own_folder,
):
    steps = np.arange(1000)
    warm = np.minimum(1, (steps + 1) / 50)
    time = np.clip((steps - 49) / 950, 0, 1)
    shapes = {
        "cosine": warm * 0.5 * (1 + np.cos(np.pi * time)),
        "linear": warm * (1 - time),
        "constant": warm,
        "drop": np.where(steps < 600, warm, 0.1),
    }
    found = {}
    for name, rates in shapes.items():
        rows = ({"step": int(s), "loss": 9 / (s + 9), "lr": 1e-3 * r, "epoch": s / 250}
                for s, r in zip(steps, rates, strict=True))  # fmt: skip
        (own_folder / f"{name}.jsonl").write_text(lines(rows))
        log = read_log(f"{name}.jsonl")
        assert [e.step for e in log.events if e.kind == "data"] == [250, 500, 750]
        found[name] = [
            (e.what.split(" ")[0], e.step, e.end) for e in log.events if e.kind == "rate"
        ]
    assert all(events[0] == ("warm-up", 0, 49) for events in found.values())
    assert found["constant"][1:] == [] and found["drop"][1:] == [("learning", 600, None)]
    for name in ("cosine", "linear"):
        ((what, begins, ends),) = found[name][1:]
        assert what == name and 49 <= begins <= 75 and ends == 999
