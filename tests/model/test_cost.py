"""Cost of the parts: counted as a counter of operations counts them, at any size."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from omni_lab.config import full_7b, tiny
from omni_lab.model import OmniModel, part_costs, part_times
from omni_lab.model.cost import PARTS
from omni_lab.planner.memory import parameters
from omni_lab.sequences import collate, omni_stream, tokenize
from omni_lab.world import WorldVocabulary, from_script, write_script


def counted(run):
    """Floating-point operations of matrices, as PyTorch counts them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def test_weights_and_operations_are_those_of_the_model():
    config = tiny()
    model = OmniModel.build(config.model, config.sequence, 76).eval()
    cost = {part.name: part for part in part_costs(config, 76)}
    assert tuple(cost) == PARTS
    aligning = sum(weight.numel() for weight in model.align.parameters()) + 1
    every = sum(weight.numel() for weight in model.parameters())
    assert sum(part.weights for part in cost.values()) == every - aligning

    frames, wave = torch.zeros(1, 2, 48, 48, 3, dtype=torch.uint8), torch.zeros(1, 16_000)
    mel = model.audio.log_mel(wave)
    words = torch.zeros(1, cost["decoder"].positions, 96)
    # PyTorch does not count fused attention on a CPU
    assert counted(lambda: model.image(frames)) == cost["image encoder"].matrices
    assert counted(lambda: model.audio.tower(mel)) == cost["audio encoder"].matrices
    assert counted(lambda: model.decoder(inputs_embeds=words)) == cost["decoder"].matrices
    assert counted(lambda: words @ model.output_weight.T) == cost["words"].matrices
    seen, heard = model.image(frames), model.audio(wave)
    connect = lambda: (model.connector["image"](seen), model.connector["audio"](heard))  # noqa: E731
    assert counted(connect) == cost["connectors"].matrices


def test_a_large_model_is_counted_without_its_memory():
    cost = {part.name: part for part in part_costs(full_7b(), 152_064)}
    own = cost["decoder"].weights + cost["words"].weights
    assert own == parameters(full_7b().model.decoder, 152_064)
    assert cost["image encoder"].positions == 2 * 27**2
    assert cost["audio encoder"].positions == 1500, "a pretrained Whisper encodes chunks of 30 s"


def test_every_part_takes_some_time():
    config = tiny()
    model = OmniModel.build(config.model, config.sequence, 76).eval()
    clip = from_script(write_script(0, 2, config.world, "test"), 48, config.world)
    tokens = tokenize(omni_stream(clip, config.sequence), WorldVocabulary(), config.sequence)
    times = part_times(model, collate([tokens], config.sequence, 48), repeats=1)
    assert tuple(times) == PARTS and all(seconds > 0 for seconds in times.values())
