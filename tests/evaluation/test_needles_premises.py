"""Premises of needles: models that compute nothing, see the answer or lose the text; cells of other weights."""

import json
import re

import pytest
import torch
from small_models import small_model, trained
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from omni_lab.cli.main import main
from omni_lab.errors import InputError, UsageError
from omni_lab.evaluation.needles import causal, passage
from omni_lab.evaluation.needles.causal import CausalNeedleModel
from omni_lab.evaluation.needles.interface import Trial
from omni_lab.evaluation.needles.measure import CELLS, measure
from omni_lab.evaluation.needles.passage import lost
from omni_lab.model.contents import digest_of_weights

GRID = ("--lengths", "100", "120", "--depths", "0.5", "--trials", "2", "--out", "found")
SIZES = {
    "vocab_size": 700, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 128, "pad_token_id": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def byte():
    return trained("byte")


@pytest.fixture(scope="module")
def lengths():
    """Shortest trials that were found, by what tokenizers do."""
    return {}


@pytest.fixture(autouse=True)
def found_once(lengths, monkeypatch):
    """The shortest trial takes half a second: it is found once for tokenizers that do the same."""

    def shortest(tokenizer):
        own = (type(tokenizer).encode, tokenizer.backend_tokenizer.to_str())
        if own not in lengths:
            lengths[own] = passage.shortest(tokenizer)
        return lengths[own]

    monkeypatch.setattr(causal, "shortest", shortest)


def saved(model, tokenizer, folder="model"):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def random(family, kind=AutoModelForCausalLM, **changes):
    torch.manual_seed(0)
    return kind.from_config(AutoConfig.for_model(family, **SIZES | changes)).eval()


def needles(capsys, *arguments):
    """Exit code of the command, and its stderr."""
    code = main(["evaluate", "needles", *map(str, arguments)])
    return code, capsys.readouterr().err


def refused(capsys, own_folder, code, message, *arguments):
    """The command refuses in one line, before anything is measured."""
    check_refusal(own_folder, code, message, *needles(capsys, *arguments, *GRID))


def check_refusal(own_folder, code, message, found, error):
    assert (found, error.count("\n")) == (code, 1), error
    assert error.startswith("omni-lab: ") and re.search(message, error), error
    assert not (own_folder / "found").exists()


def test_logits_that_are_no_numbers_are_refused(byte, capsys, own_folder):
    model = small_model("llama", 700)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.fill_(1e4)
        model.model.layers[0].mlp.down_proj.weight.fill_(1e4)
    folder = saved(model, byte)
    refused(capsys, own_folder, 1, "not finite in torch.float16; choose", folder, "--dtype", "float16")  # fmt: skip
    assert needles(capsys, folder, *GRID)[0] == 0, "in float32 it computes"


def test_one_weight_that_is_no_number_is_enough(byte):
    model = small_model("qwen2", 700)
    with torch.no_grad():
        model.lm_head.weight[3, 3] = float("nan")
    reader = CausalNeedleModel(model, byte, "torn")
    with pytest.raises(InputError, match="torn: its logits for .* tokens are not finite"):
        measure(reader, ("text",), (100,), (0.5,), 2, progress=False)
    with pytest.raises(InputError, match="not finite"):
        reader.read([Trial("text", 100, 0.5, 1)])


def test_tokens_that_are_ruled_out_are_no_fault(byte, monkeypatch):
    model = small_model("qwen2", 700)
    forward = model.forward

    def masked(**given):
        output = forward(**given)
        output.logits[..., 650:] = -torch.inf
        return output

    reader = CausalNeedleModel(model, byte, "masked")
    monkeypatch.setattr(model, "forward", masked)
    assert len(measure(reader, ("text",), (100,), (0.5,), 2, progress=False)) == 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "megatron-bert"])
def test_an_encoder_read_through_the_causal_class_is_refused(
    family, dtype, byte, capsys, own_folder
):
    changes = {"embedding_size": 32} if family == "electra" else {}
    model = random(family, AutoModelForMaskedLM, **changes)
    folder = saved(model.to(getattr(torch, dtype)), byte)
    found, error = needles(capsys, folder, *GRID)
    if "are missing" in error:
        pytest.skip("its head has other names, and is refused for that")
    check_refusal(own_folder, 1, "model: is not causal: later tokens change", found, error)


def test_a_decoder_with_attention_both_ways_is_refused_and_one_without_is_not(byte):
    sizes = {"head_dim": 16, "num_key_value_heads": 1}
    for both_ways in (True, False):
        model = random("gemma3_text", use_bidirectional_attention=both_ways, **sizes)
        reader = CausalNeedleModel(model, byte, "gemma")
        if both_ways:
            with pytest.raises(InputError, match="not causal"):
                reader.vet([Trial("text", 100, 0.5, 1)])
        else:
            reader.vet([Trial("text", 100, 0.5, 1)])


class OneAhead(torch.nn.Module):
    """Attention that lets every token see the next one, and no other that comes later."""

    def __init__(self, model):
        super().__init__()
        self.model, self.config, self.device = model, model.config, model.device
        self.get_input_embeddings = model.get_input_embeddings

    def forward(self, input_ids, use_cache, logits_to_keep):
        shifted = torch.cat([input_ids[:, 1:], input_ids[:, -1:]], 1)
        return self.model(shifted, use_cache=use_cache, logits_to_keep=logits_to_keep)


def test_one_token_too_far_ahead_is_noticed(byte):
    reader = CausalNeedleModel(OneAhead(small_model("llama", 700)), byte, "ahead")
    with pytest.raises(InputError, match="not causal"):
        reader.vet([Trial("text", 100, 0.5, 1)])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe", "gpt_oss", "mamba", "bert", "bloom"])
def test_what_is_causal_passes_in_every_precision(family, dtype, byte):
    changes = {"is_decoder": True} if family == "bert" else {"n_head": 2, "head_dim": 16}
    changes |= {"num_local_experts": 4, "num_key_value_heads": 2, "moe_intermediate_size": 16}
    model = random(family, initializer_range=0.5, **changes).to(getattr(torch, dtype))
    CausalNeedleModel(model, byte, family).vet([Trial("text", 100, 0.5, 1)])


def rebuilt(how):
    """A tokenizer that loses something on the way."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {chr(code): code for code in range(32, 127)} | {"\n": 10, "<unk>": 0}
    core = Tokenizer(models.BPE(letters, [], unk_token="<unk>"))
    core.decoder = decoders.Fuse()
    core.pre_tokenizer = {"spaces": pre_tokenizers.WhitespaceSplit()}.get(how)
    replaced = {"lines": ("\n", " "), "letters": ("e", ""), "digits": ("9", "")}
    if how in replaced:
        core.normalizer = normalizers.Replace(*replaced[how])
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("spaces", "its tokenizer loses spaces or line breaks: .* comes back as 'Isit4821"),
        ("lines", "its tokenizer loses spaces or line breaks: "),
        ("letters", "its tokenizer loses letters: "),
        ("digits", "its tokenizer cannot write numbers; "),
    ],
)
def test_a_tokenizer_that_loses_part_of_the_text_is_refused(how, message, capsys, own_folder):
    folder = saved(small_model("llama", 700), rebuilt(how))
    refused(capsys, own_folder, 1, message, folder)


def test_tokenizers_that_lose_nothing_pass():
    for kind in ("byte", "marked", "across", "pieces", "prefixed", "letters"):
        assert lost(trained(kind)) == ""
    assert lost(rebuilt("nothing")) == ""


def test_a_vocabulary_that_is_loaded_as_another_kind_is_refused(capsys, own_folder):
    folder = saved(small_model("llama", 700), trained("pieces"))
    file = own_folder / folder / "tokenizer_config.json"
    settings = json.loads(file.read_text()) | {"tokenizer_class": "Qwen2Tokenizer"}
    file.write_text(json.dumps(settings))
    refused(capsys, own_folder, 1, "its tokenizer (loses spaces|cannot write)", folder)


@pytest.mark.parametrize("calls", [0, 1, 40])
def test_a_tokenizer_that_raises_is_one_line_wherever_it_does(calls, byte, monkeypatch):
    model, left, encode = small_model("llama", 700), [calls], type(byte).encode

    def raising(*given, **options):
        left[0] -= 1
        if left[0] < 0:
            raise OverflowError("out of range integral type\nand more")
        return encode(*given, **options)

    def measured():
        reader = CausalNeedleModel(model, byte, "small")
        measure(reader, ("text",), (100,), (0.5,), 3, progress=False)

    monkeypatch.setattr(type(byte), "encode", raising)
    with pytest.raises(InputError) as error:
        measured()
    right = "small: its tokenizer fails (OverflowError: out of range integral type)"
    assert str(error.value) == right


def test_a_table_whose_first_rows_are_never_used_is_too_short_by_them(byte, capsys, own_folder):
    folder = saved(random("roberta", is_decoder=True), byte)
    message = r"length 128: model cannot read it \(\w+: index 128 is out of bounds .*--lengths"
    found, error = needles(capsys, folder, *GRID, "--lengths", "100", "128")
    assert found == 2 and re.search(message, error) and error.count("\n") == 1
    assert not (own_folder / "found").exists()
    assert needles(capsys, folder, *GRID, "--lengths", "127")[0] == 0


@pytest.mark.parametrize(
    "raised",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("std::bad_alloc"),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
    ids=["cpu", "c++", "python", "gpu"],
)  # fmt: skip
def test_too_little_memory_is_named_before_the_first_cell(raised, byte, monkeypatch, own_folder):
    reader = CausalNeedleModel(small_model("llama", 700), byte, "small")
    forward = reader.model.forward

    def full(input_ids, **given):
        if input_ids.shape[1] > 150:
            raise raised
        return forward(input_ids, **given)

    monkeypatch.setattr(reader.model, "forward", full)
    message = "length 200: does not fit into the memory of cpu; choose shorter --lengths"
    with pytest.raises(UsageError, match=message):
        measure(reader, ("text",), (100, 200), (0.5,), 2, own_folder / "out", progress=False)
    assert not (own_folder / "out").exists()


def test_a_model_that_fails_on_any_text_is_one_line(byte, monkeypatch):
    reader = CausalNeedleModel(small_model("llama", 700), byte, "small")
    monkeypatch.setattr(reader.model, "forward", lambda **_: exec("raise KeyError('sliding')"))
    with pytest.raises(InputError, match=r"small: fails on a text of \d+ tokens \(KeyError: 'sl"):
        reader.vet([Trial("text", 100, 0.5, 1)])


def change(folder, what):
    """One change to what a folder holds, under the same name and of the same size."""
    if what == "weights":
        file, (old, new) = folder / "model.safetensors", (b"\x00", b"\x01")
        data = file.read_bytes()
        file.write_bytes(data[:-4] + (new if data[-4:-3] == old else old) + data[-3:])
    elif what == "settings":
        file = folder / "config.json"
        file.write_text(file.read_text().replace('"hidden_act": "silu"', '"hidden_act": "gelu"'))
    elif what == "tokenizer":
        file = folder / "tokenizer.json"
        tokens = json.loads(file.read_text())
        vocabulary = tokens["model"]["vocab"]
        vocabulary["e"], vocabulary["a"] = vocabulary["a"], vocabulary["e"]
        file.write_text(json.dumps(tokens))


@pytest.mark.parametrize("what", ["weights", "settings", "tokenizer"])
def test_other_contents_in_the_same_folder_are_no_old_cells(what, byte, capsys, own_folder):
    import os

    folder = saved(small_model("llama", 700), byte)
    assert needles(capsys, folder, *GRID)[0] == 0
    before = (own_folder / "found" / CELLS).read_bytes()
    times = {file: file.stat() for file in (own_folder / folder).iterdir()}
    change(own_folder / folder, what)
    for file, stat in times.items():
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert what == "tokenizer" or file.stat().st_size == stat.st_size, "only bytes differ"

    code, error = needles(capsys, folder, *GRID)
    assert code == 1
    assert re.search(rf"found: holds needles of {what} '\w+', not '\w+'; choose another", error)
    assert (own_folder / "found" / CELLS).read_bytes() == before
    change(own_folder / folder, what if what != "settings" else "")
    if what != "settings":
        assert needles(capsys, folder, *GRID)[0] == 0, "the old contents go on"


def test_a_model_that_was_trained_on_in_memory_is_another(byte, own_folder):
    model = small_model("llama", 700)
    reader = CausalNeedleModel(model, byte, "mine")
    grid = (("text",), (100,), (0.5,), 2, own_folder / "out")
    measure(reader, *grid, progress=False)
    with torch.no_grad():
        model.model.layers[1].mlp.gate_proj.weight[0, 0] += 1e-6
    with pytest.raises(InputError, match="holds needles of weights"):
        measure(reader, *grid, progress=False)


def test_a_digest_is_of_weights_wherever_they_are_kept(own_folder):
    from accelerate import cpu_offload, disk_offload

    digests = {digest_of_weights(small_model("qwen2", 700)) for _ in range(2)}
    for offload in (cpu_offload, lambda model: disk_offload(model, str(own_folder / "kept"))):
        model = small_model("qwen2", 700)
        offload(model)
        assert next(model.parameters()).is_meta
        digests.add(digest_of_weights(model))
        model(torch.tensor([[5, 6, 7]]))
    assert len(digests) == 1
    assert digest_of_weights(small_model("qwen2", 700).bfloat16()) not in digests
