"""Needle in a haystack for causal language models: prompts for any tokenizer, loading, refusals."""

import json
import re
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import small_model, trained
from torch import nn

from omni_lab.errors import InputError, UsageError
from omni_lab.evaluation.needles import causal
from omni_lab.evaluation.needles.causal import CausalNeedleModel
from omni_lab.evaluation.needles.interface import NeedleModel, Trial
from omni_lab.evaluation.needles.measure import measure
from omni_lab.evaluation.needles.passage import NUMBERS, TOWNS, Passage, lay_out, shortest
from omni_lab.evaluation.needles.prose import sentences
from omni_lab.model.rope import rope_of

NEEDLE = re.compile(r"The number that belongs to (\w+) is (\d{4})\.")
TOKENIZERS = ("byte", "marked", "across", "pieces", "prefixed", "letters")
FAMILIES = ("qwen2", "llama", "gpt2", "gpt_neox")


@pytest.fixture(scope="module")
def tokenizers():
    return {kind: trained(kind) for kind in TOKENIZERS}


@pytest.fixture(scope="module")
def least(tokenizers):
    return {kind: shortest(tokenizer) for kind, tokenizer in tokenizers.items()}


@given(
    st.sampled_from(TOKENIZERS),
    st.integers(0, 400),
    st.floats(0, 1),
    st.integers(0, 2**48),
    st.booleans(),
)
@settings(deadline=None, max_examples=100)
def test_a_passage_is_as_long_as_asked_and_holds_its_needle_once_and_at_its_depth(
    tokenizers, least, kind, filler, depth, seed, present
):
    tokenizer, length = tokenizers[kind], least[kind] + filler
    passage = lay_out(Trial("text", length, depth, seed, present), tokenizer)
    assert len(passage.ids) == length
    text = tokenizer.decode(passage.ids)

    # the question names the town, the answer is the number and nothing else
    before_question, asked = text.split("\n\n")
    town, number = re.search(r"The number that belongs to (\w+) is (\d{4})$", asked).groups()
    assert f"Which number belongs to {town}?" in asked and town in TOWNS and int(number) in NUMBERS
    answer = tokenizer.decode(passage.ids[-passage.answer :])
    assert answer.endswith(number) and not re.search(
        r"\d", tokenizer.decode(passage.ids[: -passage.answer])[-8:]
    )
    assert re.findall(r"\d+", before_question) == ([number] if present else [])
    assert (town in before_question) == present
    if not present:
        assert passage.needle.start == passage.needle.stop
        return

    # the needle stands between whole sentences, at its depth
    needle = NEEDLE.search(before_question)
    assert needle.groups() == (town, number)
    assert number in tokenizer.decode(passage.ids[passage.needle])
    before = before_question[: needle.start()].replace("<s>", "").strip()
    assert not before or before.endswith("."), "it stands between whole sentences"
    marks = kind in ("marked", "pieces")
    asks = (
        len(tokenizer.encode(f"x\n\n{asked}", add_special_tokens=False))
        - len(tokenizer.encode("x"))
        + marks
    )
    room = length - marks - (passage.needle.stop - passage.needle.start) - asks
    assert abs(passage.needle.start - marks - depth * room) <= 2, (
        "a token may hold letters of two parts"
    )


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_needle_is_the_first_thing_at_depth_0_and_the_last_before_the_question_at_1(
    tokenizers, kind
):
    tokenizer = tokenizers[kind]
    first, last = (
        tokenizer.decode(lay_out(Trial("text", 400, depth, 7), tokenizer).ids)
        for depth in (0.0, 1.0)
    )
    assert NEEDLE.match(first.removeprefix("<s>").lstrip())
    assert NEEDLE.search(last).end() == last.index("\n\nQuestion")


@pytest.mark.parametrize("kind", ["byte", "marked", "letters", "pieces"])
def test_a_passage_reads_as_its_tokenizer_would_write_it(tokenizers, kind):
    tokenizer = tokenizers[kind]
    passage = lay_out(Trial("text", 500, 0.5, 11), tokenizer)
    text = tokenizer.decode(passage.ids, skip_special_tokens=True)
    whole = text.index(". ") + 1, text.rindex(" ", 0, text.index("\n\n"))
    inner = tokenizer.encode("x" + text[whole[0] : whole[1]] + " ", add_special_tokens=False)[3:-3]
    joined = " ".join(map(str, passage.ids))
    assert " ".join(map(str, inner)) in joined and len(inner) > 300
    asked = tokenizer.encode("x" + text[text.index("\n\n") :], add_special_tokens=False)
    assert passage.ids[-len(asked) + 4 :] == asked[4:]


def test_what_begins_every_text_begins_a_passage(tokenizers):
    for kind, tokenizer in tokenizers.items():
        for depth in (0.0, 1.0):
            ids = lay_out(Trial("text", 300, depth, 3), tokenizer).ids
            assert ids.count(0) == (kind in ("marked", "pieces")) and 0 not in ids[1:]


def test_trials_differ_in_filler_town_and_number_and_come_back_for_the_same_seed(tokenizers):
    tokenizer = tokenizers["byte"]
    passages = [lay_out(Trial("text", 200, 0.5, seed), tokenizer) for seed in range(30)]
    found = [NEEDLE.search(tokenizer.decode(passage.ids)).groups() for passage in passages]
    assert len({town for town, _ in found}) > 10 and len({number for _, number in found}) == 30
    assert passages[3] == lay_out(Trial("text", 200, 0.5, 3), tokenizer)


def test_prose_is_varied_and_holds_no_town_and_no_digit():
    prose = list(islice(sentences(1), 4000))
    assert len(set(prose)) > 3000
    again, other = (list(islice(sentences(seed), 9)) for seed in (1, 2))
    assert again == prose[:9] != other
    assert all(re.fullmatch(r"[A-Z][a-z]*,?( [a-z]+,?)+\.", sentence) for sentence in prose)
    words = {word.strip(",.") for sentence in prose for word in sentence.split()}
    assert not words & {*TOWNS, "number", "belongs"}
    assert not [sentence for sentence in prose if re.search(r"\b[Aa] [aeiou]", sentence)]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_length_that_holds_no_needle_is_refused(tokenizers, least, kind):
    for depth in (0.0, 0.5, 1.0):
        with pytest.raises(
            UsageError, match=r"length 20: needle, question and answer take \d+ tokens"
        ):
            lay_out(Trial("text", 20, depth, 0), tokenizers[kind])
    for seed in range(20):
        lay_out(Trial("text", least[kind], seed / 19, seed), tokenizers[kind])


def test_a_tokenizer_that_cannot_write_the_answer_is_refused():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({"<unk>": 0, "The": 1, "number": 2}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    with pytest.raises(InputError, match="words: its tokenizer cannot write numbers"):
        CausalNeedleModel(small_model("qwen2", 50), words, "words")


def test_a_model_that_cannot_give_the_logits_of_the_answer_alone_is_refused(tokenizers):
    model = small_model("qwen2", 700)
    model.forward = lambda input_ids: None
    with pytest.raises(InputError, match="no logits_to_keep"):
        CausalNeedleModel(model, tokenizers["byte"], "other")


class Finder(nn.Module):
    """Induction: repeats what followed its last five tokens, if that is within `reach` tokens."""

    def __init__(self, rows, reach):
        super().__init__()
        self.embedding, self.reach, self.device = nn.Embedding(rows, 1), reach, torch.device("cpu")
        self.config = type(
            "Config", (), {"get_text_config": lambda self: self, "max_position_embeddings": reach}
        )()

    def get_input_embeddings(self):
        return self.embedding

    def forward(self, input_ids, use_cache, logits_to_keep):
        (ids,) = input_ids.tolist()
        logits = torch.zeros(1, logits_to_keep, self.embedding.num_embeddings)
        for index, end in enumerate(range(len(ids) - logits_to_keep, len(ids))):
            seen = range(max(4, end - self.reach), end)
            found = [at for at in seen if ids[at - 4 : at + 1] == ids[end - 4 : end + 1]]
            logits[0, index, ids[found[-1] + 1] if found else 5] = 1
        return type("Output", (), {"logits": logits})


@pytest.mark.parametrize("kind", ["byte", "pieces"])
def test_a_model_that_finds_and_copies_is_right_where_it_reaches_and_nowhere_else(tokenizers, kind):
    finder = CausalNeedleModel(Finder(len(tokenizers[kind]), 500), tokenizers[kind], "finder")
    assert (
        isinstance(finder, NeedleModel)
        and finder.trained == 500
        and finder.chance("text") == 1 / 9000
    )
    cells = measure(finder, ("text",), (200, 400, 1600), (0.0, 0.5, 0.95), 5, progress=False)
    right = {(cell.length, cell.depth): cell.accuracy for cell in cells}
    assert right == {
        (200, None): 0.0, (200, 0.0): 1.0, (200, 0.5): 1.0, (200, 0.95): 1.0,
        (400, None): 0.0, (400, 0.0): 1.0, (400, 0.5): 1.0, (400, 0.95): 1.0,
        (1600, None): 0.0, (1600, 0.0): 0.0, (1600, 0.5): 0.0, (1600, 0.95): 1.0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folders(tokenizers, tmp_path_factory):
    """One saved model per family, with its tokenizer."""
    made = {}
    for family in FAMILIES:
        made[family] = tmp_path_factory.mktemp(family)
        small_model(family, 700).save_pretrained(made[family])
        tokenizers["byte"].save_pretrained(made[family])
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_is_right_when_every_token_is_the_likeliest_after_the_true_ones(
    folders, family, monkeypatch
):
    reader = CausalNeedleModel.load(str(folders[family]))
    assert reader.trained == 128 and reader.name == str(folders[family])
    ids, shapes = lay_out(Trial("text", 96, 0.5, 1), reader.tokenizer).ids[:-4], []
    with torch.no_grad():
        while len(ids) < 96:
            ids.append(int(reader.model(torch.tensor([ids])).logits[0, -1].argmax()))
    forward = reader.model.forward

    def spied(**given):
        output = forward(**given)
        shapes.append(output.logits.shape)
        return output

    for place, right in ((None, True), (92, False), (93, False), (94, False), (95, False)):
        answer = list(ids)
        if place:
            answer[place] = (ids[place] + 1) % 600
        monkeypatch.setattr(
            causal, "lay_out", lambda *_, answer=answer: Passage(answer, slice(0, 0), 4)
        )
        monkeypatch.setattr(reader.model, "forward", spied)
        assert reader.read([Trial("text", 96, 0.5, 1)]) == [right]
    assert set(shapes) == {(1, 4, 700)}, "logits of the answer alone"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_reads_past_its_trained_length_but_not_past_a_table_of_positions(folders, family):
    reader = CausalNeedleModel.load(str(folders[family]))
    far = Trial("text", 300, 0.5, 1)
    if family == "gpt2":
        for asked in (lambda: reader.read([far]), lambda: reader.check(129)):
            with pytest.raises(
                UsageError, match=r"length \d+: .* has a table of 128 positions, and none beyond"
            ):
                asked()
        assert reader.read([far._replace(length=128)]) == [False]
    else:
        reader.check(10**9)
        assert reader.read([far, far]) == [False, False]


def test_rotary_positions_are_changed_and_named(folders):
    plain = CausalNeedleModel.load(str(folders["qwen2"]), dtype="bfloat16")
    assert plain.model.dtype == torch.bfloat16 and plain.name.endswith(", bfloat16")
    raised = CausalNeedleModel.load(str(folders["qwen2"]), rope_theta=1e6, rope_factor=4)
    assert rope_of(raised.model) == (1e6, 4.0)
    assert raised.name == f"{folders['qwen2']}, θ 1e+06, positions / 4"
    with pytest.raises(UsageError, match="no rotary positions"):
        CausalNeedleModel.load(str(folders["gpt2"]), rope_theta=1e6)


def test_an_adapter_is_read_with_its_model_and_its_models_tokenizer(folders, own_folder):
    peft = pytest.importorskip("peft")
    base = CausalNeedleModel.load(str(folders["llama"]))
    wrapped = CausalNeedleModel.load(str(folders["llama"])).model
    wrapped.add_adapter(peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False))
    wrapped.save_pretrained(own_folder / "adapter")
    adapted = CausalNeedleModel.load(str(own_folder / "adapter"))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        loaded, true, plain = (model(ids).logits for model in (adapted.model, wrapped, base.model))
    assert torch.allclose(loaded, true, atol=1e-5) and not torch.allclose(loaded, plain, atol=1e-2)
    assert (
        adapted.tokenizer.encode("The number") == base.tokenizer.encode("The number")
        and adapted.trained == 128
    )
    assert adapted.read([Trial("text", 100, 0.5, 1)]) == [False]


def test_an_adapter_without_peft_says_what_to_install(own_folder, monkeypatch):
    (own_folder / "adapter_config.json").write_text("{}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="an adapter needs peft: pip install"):
        CausalNeedleModel.load(str(own_folder))


def broken(folder, how):
    """Damage of one sort to a model's folder."""
    if how == "no weights":
        (folder / "model.safetensors").unlink()
    elif how == "torn weights":
        (folder / "model.safetensors").write_bytes(
            (folder / "model.safetensors").read_bytes()[:1000]
        )
    elif how == "no tokenizer":
        for file in folder.glob("tokenizer*"):
            file.unlink()
    elif how == "no model":
        (folder / "config.json").write_text("{}")
    elif how == "foreign":
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | {"model_type": "nothing_known"}))
    elif how == "no head":
        small_model("qwen2", 700).model.save_pretrained(folder)
    elif how == "other sizes":
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | {"hidden_size": 64}))


@pytest.mark.parametrize(
    "how",
    ["no weights", "torn weights", "no tokenizer", "no model", "foreign", "no head", "other sizes"],
)
def test_a_folder_that_is_no_whole_model_is_one_line(tokenizers, own_folder, how):
    folder = own_folder / "model"
    small_model("qwen2", 700).save_pretrained(folder)
    tokenizers["byte"].save_pretrained(folder)
    broken(folder, how)
    with pytest.raises(InputError, match=f"^{folder}: ") as error:
        CausalNeedleModel.load(str(folder))
    assert "\n" not in str(error.value) and len(str(error.value)) > len(str(folder)) + 20


def test_a_name_that_is_nowhere_is_one_line():
    with pytest.raises(InputError, match="^no/such-model: failed to load") as error:
        CausalNeedleModel.load("no/such-model")
    assert "\n" not in str(error.value)


def test_a_tokenizer_of_another_model_is_noticed(tokenizers):
    reader = CausalNeedleModel(small_model("qwen2", 50), tokenizers["byte"], "small")
    with pytest.raises(
        InputError, match=r"small: the tokenizer writes token \d+, the model has 50"
    ):
        reader.read([Trial("text", 100, 0.5, 1)])


def test_a_device_that_is_not_there_is_named(folders):
    with pytest.raises(UsageError, match="^device nowhere: "):
        CausalNeedleModel.load(str(folders["qwen2"]), device="nowhere")


def test_a_model_is_spread_over_what_there_is(folders):
    reader = CausalNeedleModel.load(str(folders["qwen2"]), device="auto")
    assert reader.read([Trial("text", 100, 0.5, 1)]) == [False]


def test_an_error_without_a_message_is_named_by_its_type(folders, monkeypatch):
    monkeypatch.setattr(
        "transformers.AutoTokenizer.from_pretrained", lambda source: exec("raise KeyError")
    )
    with pytest.raises(InputError, match=r"failed to load \(KeyError\)"):
        CausalNeedleModel.load(str(folders["qwen2"]))


def test_too_little_memory_is_named(folders, monkeypatch):
    reader = CausalNeedleModel.load(str(folders["qwen2"]))

    def full(**given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(reader.model, "forward", full)
    with pytest.raises(UsageError, match="length 100: does not fit into the memory of cpu"):
        reader.read([Trial("text", 100, 0.5, 1)])
