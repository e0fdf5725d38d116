"""Small recipes of other toolkits for Multi30k: what their documentation gives, made small.

Two layers of width 256, batches of 64 sentences, dropout and label smoothing as documented. The
Transformers' warm-up is shorter than documented, since an epoch has 450 updates.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from in_seqkd import Words

from seqkd.alignment.model_1 import align, learn_lexicon
from seqkd.files import read_lines
from seqkd.vocabulary.tokens import encode_lines

EVERY = 150  # updates between checkpoints

MARIAN = {
    "transformer": "--type transformer --enc-depth 2 --dec-depth 2 --transformer-heads 4 "
    "--transformer-dim-ffn 1024 --transformer-dropout 0.1 --transformer-postprocess dan "
    "--tied-embeddings-all --learn-rate 0.001 --lr-warmup 500 --lr-decay-inv-sqrt 500 "
    "--optimizer-params 0.9 0.98 1e-09",
    "lstm": "--type s2s --enc-type bidirectional --enc-cell lstm --dec-cell lstm --enc-depth 2 "
    "--dec-depth 2 --dim-rnn 256 --skip --tied-embeddings-all --dropout-rnn 0.1 "
    "--learn-rate 0.001",
}
OPENNMT = """
data:
  corpus: {{path_src: {data}/train.src, path_tgt: {data}/train.tgt, transforms: []}}
src_vocab: {vocab}
tgt_vocab: {vocab}
share_vocab: true
seed: 1
report_every: 50
"""
TRAINING = """
world_size: 1
gpu_ranks: []
batch_type: sents
batch_size: 64
num_workers: 0
bucket_size: 16384
normalization: tokens
train_steps: 100000
valid_steps: 100000000
save_checkpoint_steps: {every}
keep_checkpoint: -1
optim: adam
label_smoothing: 0.1
"""
SCHEDULES = {
    "transformer": "decay_method: noam\nwarmup_steps: 1000\nlearning_rate: 1.0\nadam_beta2: 0.998\n"
    "max_grad_norm: 0.0\ndropout: [0.1]\nattention_dropout: [0.1]\n",
    "lstm": "learning_rate: 0.001\ndropout: [0.3]\n",
}
OPENNMT_MODELS = {
    "transformer": """
save_model: {model}
encoder_type: transformer
decoder_type: transformer
enc_layers: 2
dec_layers: 2
heads: 4
hidden_size: 256
word_vec_size: 256
transformer_ff: 1024
position_encoding: true
param_init: 0.0
param_init_glorot: true
share_embeddings: true
share_decoder_embeddings: true
""",
    "lstm": """
save_model: {model}
encoder_type: brnn
decoder_type: rnn
rnn_type: LSTM
enc_layers: 2
dec_layers: 2
hidden_size: 256
enc_hid_size: 256
dec_hid_size: 256
word_vec_size: 256
input_feed: 1
global_attention: general
""",
}
EOLE = """
overwrite: true
training:
  model_path: {model}
  compute_dtype: fp32
{training}
model:
{architecture}
"""
EOLE_MODELS = {
    "transformer": """
  architecture: transformer
  layers: 2
  heads: 4
  hidden_size: 256
  transformer_ff: 1024
  share_embeddings: true
  share_decoder_embeddings: true
  embeddings: {word_vec_size: 256, position_encoding_type: SinusoidalInterleaved}
""",
    "lstm": """
  architecture: rnn
  hidden_size: 256
  input_feed: 1
  embeddings: {word_vec_size: 256, position_encoding_type: null}
  encoder: {encoder_type: brnn, rnn_type: LSTM, layers: 2, hidden_size: 256}
  decoder:
    {decoder_type: rnn, rnn_type: LSTM, layers: 2, hidden_size: 256, global_attention: general}
""",
}


def training_command(
    peer: str, model: str, python: Path, text: Path, work: Path
) -> tuple[list[str], str]:
    """Return the command that trains a peer, and the pattern of its checkpoints.

    Args:
        peer: name of its environment, such as `marian`.
        model: `lstm` or `transformer`; of Marian also with `-guided`, by our word alignments.
        python: interpreter of the environment.
        text: folder of `text.prepare`.
        work: folder that takes configuration and checkpoints.
    """
    if peer == "marian":
        name = model.removesuffix("-guided")
        arguments = [
            "train", *MARIAN[name].split(), "--dim-emb", "256", "--train-sets",
            f"{text}/train.src", f"{text}/train.tgt", "--vocabs", f"{work}/vocab.yml",
            f"{work}/vocab.yml", "--model", f"{work}/model.npz", "--cpu-threads", "1",
            "--mini-batch", "64", "--maxi-batch", "100", "--workspace", "2000", "--save-freq",
            f"{EVERY}u", "--label-smoothing", "0.1", "--clip-norm", "1", "--seed", "1",
            "--disp-freq", "50u", "--after", "100000u", "--keep-best",
        ]  # fmt: skip
        words = (text / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
        entries = [json.dumps(w, ensure_ascii=False) for w in ("</s>", "<unk>", *words)]
        vocab = "".join(f"{entry}: {k}\n" for k, entry in enumerate(entries))
        (work / "vocab.yml").write_text(vocab, encoding="utf-8")
        if model.endswith("-guided"):
            pharaoh = _alignment(text)
            arguments += ["--guided-alignment", str(pharaoh)]
        return [str(python.parent / "pymarian"), *arguments], "model.iter*.npz"
    values = {"data": text, "vocab": work / "vocab.txt", "model": work / "model", "every": EVERY}
    words = (text / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    if peer == "opennmt-py":
        words = [f"{w}\t1" for w in ("<unk>", "<blank>", "<s>", "</s>", *words)]
    (work / "vocab.txt").write_text("".join(f"{w}\n" for w in words), encoding="utf-8")
    training = TRAINING.format(**values) + SCHEDULES[model]
    config = OPENNMT.format(**values)
    if peer == "opennmt-py":
        config += OPENNMT_MODELS[model].format(**values) + training
        entry, pattern = "from onmt.bin.train import main; main()", "model_step_*.pt"
    else:
        inner = training.replace("\n", "\n  ")
        config += EOLE.format(**values, training=inner, architecture=EOLE_MODELS[model])
        entry, pattern = "from eole.bin.main import main; main()", "model/step_*"
    (work / "train.yaml").write_text(config, encoding="utf-8")
    action = ["train"] if peer == "eole" else []
    return [str(python), "-c", entry, *action, "-config", str(work / "train.yaml")], pattern


def _alignment(text: Path) -> Path:
    """Write our alignment of the training text in Pharaoh format, the source first."""
    path = text / "train.align"
    if path.exists():
        return path
    words = Words(list(read_lines(text / "vocab.txt")))
    src, tgt = (encode_lines(read_lines(text / f"train.{side}"), words) for side in ("src", "tgt"))
    lexicon = learn_lexicon(src, tgt)
    with path.open("w") as file:
        for k in range(len(src)):
            s, t = np.array([src[k]]), np.array([tgt[k]])
            best = align(lexicon, s, src.lengths[k : k + 1], t, tgt.lengths[k : k + 1])[0].argmax(1)
            file.write(" ".join(f"{j}-{i}" for i, j in enumerate(best)) + "\n")
    return path
