"""How translations are sampled, for the config and for search."""

from __future__ import annotations

from seqkd.config.schema import NonNegative, PositiveFraction, PositiveNumber, Section


class SamplingConfig(Section):
    """Sampling from a model's distribution, in place of beam search."""

    top_k: NonNegative = 0
    """Sample from this many most probable words; 0: all."""
    top_p: PositiveFraction = 1.0
    """Sample from the fewest words with this total probability (nucleus, Holtzman et al. 2020)."""
    temperature: PositiveNumber = 1.0
    """Below 1: closer to the most probable; above 1: more diverse."""
    seed: NonNegative = 1
    """Seed of the random numbers."""
