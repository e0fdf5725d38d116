"""The decoder of a model file, and its search of single sentences."""

from __future__ import annotations

from seqkd.model_files.model_file import LoadedModel
from seqkd.models.kernels.lstm_int8 import Int8Decoder
from seqkd.models.kernels.sentence import SentenceSearch, sentence_search
from seqkd.models.lstm import Lstm
from seqkd.models.protocol import Decoder


def decoder_of(loaded: LoadedModel) -> Decoder:
    """Return the decoder of a model: in int8 if it is an LSTM, stored so, and on a CPU."""
    if isinstance(loaded.model, Lstm) and _in_int8(loaded):
        return Int8Decoder(loaded.model)
    return loaded.model.decoder()


def precision_of(loaded: LoadedModel) -> str:
    """Name the numbers of the decoder's matrix products: int8, bfloat16 or float32."""
    if isinstance(loaded.model, Lstm) and _in_int8(loaded):
        return "int8"
    return str(loaded.model.compute_dtype).removeprefix("torch.")


def sentence_search_of(loaded: LoadedModel) -> SentenceSearch | None:
    """Return the search of single sentences that computes as the decoder does, if there is one."""
    if not isinstance(loaded.model, Lstm):
        return None
    return sentence_search(loaded.model, int8=_in_int8(loaded))


def _in_int8(loaded: LoadedModel) -> bool:
    return loaded.info.storage == "int8" and loaded.model.output_bias_V.device.type == "cpu"
