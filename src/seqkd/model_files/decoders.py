"""The decoder of a model file: in int8 for a model that is stored in int8."""

from __future__ import annotations

from seqkd.model_files.model_file import LoadedModel
from seqkd.models.kernels.lstm_int8 import Int8Decoder
from seqkd.models.lstm import Lstm
from seqkd.models.protocol import Decoder


def decoder_of(loaded: LoadedModel) -> Decoder:
    """Return the decoder of a model: in int8 if it is stored so and is on a CPU."""
    model = loaded.model
    on_cpu = model.output_bias_V.device.type == "cpu"
    if loaded.info.storage == "int8" and on_cpu and isinstance(model, Lstm):
        return Int8Decoder(model)
    return model.decoder()
