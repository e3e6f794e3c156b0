"""Sound to tokens: log-mel of one unit, the Whisper encoder on that chunk, pooled to a few tokens.

Each unit is encoded by itself as it arrives, so that the stream can be heard while it is still going on.

Glossary: A units with sound · samples of one unit at 16 kHz · mels log-mel bands.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float, Float32
from torch import Tensor, nn

from omni_lab.config import TICKS_PER_SECOND, AudioEncoderConfig, SequenceConfig
from omni_lab.errors import ConfigError

_WINDOW = 400  # samples of one analysis window (25 ms), as in Whisper
_FLOOR = 1e-5  # power under which nothing is heard: about the noise that AAC leaves in silence


class LogMel(nn.Module):
    """Log-mel spectrogram of 16 kHz sound, centred windows of 25 ms."""

    def __init__(self, mels: int, frames_per_second: int) -> None:
        super().__init__()
        if TICKS_PER_SECOND % frames_per_second:
            raise ConfigError(
                f"model.audio.frames={frames_per_second}: does not divide {TICKS_PER_SECOND} samples"
            )
        self.hop = TICKS_PER_SECOND // frames_per_second
        self.register_buffer("bank", torch.empty(_WINDOW // 2 + 1, mels), persistent=False)
        self.register_buffer("window", torch.empty(_WINDOW), persistent=False)
        self.fill()

    @torch.no_grad()
    def fill(self) -> None:
        """Compute filters and window: no checkpoint holds them, so a loaded model has to do it again."""
        from transformers.audio_utils import mel_filter_bank

        bins, mels = self.bank.shape
        bank = mel_filter_bank(
            bins,
            mels,
            0.0,
            TICKS_PER_SECOND / 2,
            TICKS_PER_SECOND,
            norm="slaney",
            mel_scale="slaney",
        )
        self.bank.copy_(torch.tensor(bank, dtype=torch.float32))
        self.window.copy_(torch.hann_window(_WINDOW))

    def forward(self, waves: Float32[Tensor, "A samples"]) -> Float32[Tensor, "A mels frames"]:
        """Natural log of mel power, shifted and scaled to about [-1, 1]; float32 under mixed precision too."""
        with torch.autocast(waves.device.type, enabled=False):
            spectrum = torch.stft(
                waves, _WINDOW, self.hop, window=self.window, return_complex=True
            )[..., :-1]
            power = (spectrum.real**2 + spectrum.imag**2).transpose(1, 2) @ self.bank
        return ((power.clamp_min(_FLOOR).log() + 5.0) / 5.0).transpose(1, 2)


def whisper_tower(settings: AudioEncoderConfig, positions: int) -> nn.Module:
    """Whisper's encoder with random weights, for chunks of so many positions."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return WhisperEncoder(
        WhisperConfig(
            num_mel_bins=settings.mels,
            d_model=settings.width,
            encoder_layers=settings.layers,
            encoder_attention_heads=settings.heads,
            encoder_ffn_dim=4 * settings.width,
            max_source_positions=positions,
            dropout=0.0,
        )
    )


class AudioEncoder(nn.Module):
    """Whisper's encoder over one unit of sound; neighbouring positions are merged to the unit's audio tokens."""

    def __init__(
        self,
        settings: AudioEncoderConfig,
        sequence: SequenceConfig,
        tower: nn.Module | None = None,
    ) -> None:
        super().__init__()
        frames = round(settings.frames * sequence.unit_s)
        self.tower = tower or whisper_tower(settings, frames // 2)
        self.log_mel = LogMel(settings.mels, settings.frames)
        self.positions = self.tower.config.max_source_positions  # of one chunk
        self.tokens = sequence.audio_tokens
        self.used = frames // 2  # positions that one unit fills
        if self.used % self.tokens:
            raise ConfigError(
                f"sequence.audio_tokens={self.tokens}: does not divide {self.used} encoder positions"
            )
        self.width = self.used // self.tokens * self.tower.config.d_model

    def forward(self, waves: Float32[Tensor, "A samples"]) -> Float[Tensor, "A tokens merged"]:
        """Encode every unit of sound; the connector takes the merged width to the decoder's."""
        mel = self.log_mel(waves)
        missing = 2 * self.positions - mel.shape[-1]  # a pretrained tower wants its full chunk
        states = self.tower(
            nn.functional.pad(mel, (0, missing), value=mel.min() if mel.numel() else 0.0)
        )
        used = states.last_hidden_state[:, : self.used]
        return rearrange(
            used,
            "units (tokens positions) width -> units tokens (positions width)",
            tokens=self.tokens,
        )
