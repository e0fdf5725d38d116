"""What the rules share: the experiment and the input functions.

Nothing here is a rule, and what can be worked out without Snakemake is in the package. Paths are
relative to the working directory; <run> is the experiment's folder, <src> and <tgt> its languages.
"""

import re
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from seqkd import naming
from seqkd.code_hash import code_hash
from seqkd.config import parse_experiment
from seqkd.corpus_config import all_sources, files_of_test_set, required_files
from seqkd.errors import SeqkdError
from seqkd.experiment import Experiment
from seqkd.sources import fetched_names
from seqkd.slices import slice_of, source_slice, table_of

if "experiment" not in config:

    configfile: f"{workflow.basedir}/config/experiments/home-assistant.yaml"


RESOURCES = Path("resources")

try:
    EXPERIMENT = Experiment(parse_experiment(config))
    CONFIG = EXPERIMENT.config
    CORPUS_FILES = required_files(CONFIG.corpus, RESOURCES)
    TEST_SET_FILES = {
        name: files_of_test_set(CONFIG.corpus, name, RESOURCES) for name in CONFIG.corpus.test_sets
    }
except SeqkdError as error:
    raise WorkflowError(str(error)) from None

SIDES = ("src", "tgt")
GPU = int(CONFIG.device == "cuda")
RESULTS = Path("results", CONFIG.experiment)
TIMED_TEST_SET = next(iter(CONFIG.corpus.test_sets))
FETCHED = [
    name
    for source in all_sources(CONFIG.corpus)
    for name in fetched_names(source, CONFIG.corpus.languages)
]


def any_of(names):
    """Return a regular expression for exactly these names."""
    return "|".join(map(re.escape, names)) or "(?!)"


def code(*steps):
    """Return the hash of the code behind steps: a param, so that a change of it reruns the rule."""
    return code_hash(*(f"seqkd.steps.{step}" for step in steps))


def growing(amount):
    """Return a resource that grows with each attempt: what was too little is not tried again."""
    return lambda wildcards, attempt: amount * attempt


def as_yaml(value):
    """Return a slice of the config as the text of its file."""
    text = yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    return text.rstrip()


def options(files, *names):
    """Return `--name file` for those of the named inputs that a job has."""
    words = [(f"--{name.replace('_', '-')}", files.get(name)) for name in names]
    return [word for option, path in words if path for word in (option, path)]


def held_out_texts():
    """Return the text that is split off training for a test set, if one is."""
    return [f"<run>/corpus/held-out.<{side}>" for side in SIDES if CONFIG.corpus.held_out_test]


def test_set_inputs(wildcards):
    """Return what a test set is made from: fetched files, or the text split off training."""
    name = wildcards.test_set
    if name == CONFIG.corpus.held_out_test:
        return {f"held_out_{side}": f"<run>/corpus/held-out.<{side}>" for side in SIDES}
    return {"files": TEST_SET_FILES[name]}


def split_of(wildcards):
    """Return the training text that an n-best list is made from, without its language."""
    share = wildcards.nbest.partition("-share-")[2]
    return f"<run>/corpus/{naming.split_name(int(share or 100) / 100)}"


def text_of(targets, teacher, seed):
    """Return the parallel text that a model learns from, without its language."""
    if targets == naming.GOLD:
        return "<run>/corpus/train"
    return f"<run>/distilled/{teacher}/seed-{seed}/{targets}/train"


def soft_target_inputs(wildcards):
    """Return the text along which a teacher's distributions are stored."""
    text = text_of(wildcards.targets, wildcards.teacher, wildcards.seed)
    return {"train_src": f"{text}.<src>", "train_tgt": f"{text}.<tgt>"}


def nbest_of(targets, teacher, seed):
    """Return the n-best list that targets are chosen from."""
    target = CONFIG.targets[targets]
    folder = naming.nbest_name(target.beam, target.share)
    return f"<run>/distilled/{teacher}/seed-{seed}/{folder}/nbest.jsonl.zst"


def selection_inputs(wildcards):
    """Return the n-best list of some targets, and the parallel text that it was made from."""
    text = f"<run>/corpus/{naming.split_name(CONFIG.targets[wildcards.targets].share)}"
    return {
        "nbest": nbest_of(wildcards.targets, wildcards.teacher, wildcards.seed),
        "train_src": f"{text}.<src>",
        "train_tgt": f"{text}.<tgt>",
    }


def training_inputs(wildcards):
    """Return what sets one model apart: its text, its parent, and what it has of its teacher."""
    entry = EXPERIMENT.models[wildcards.trained, int(wildcards.seed)]
    text = text_of(entry.targets, entry.teacher, entry.teacher_seed)
    teacher = f"{entry.teacher}/seed-{entry.teacher_seed}"
    files = {"train_src": f"{text}.<src>", "train_tgt": f"{text}.<tgt>"}
    if entry.parent:
        files["init"] = f"<run>/models/{entry.parent}/seed-{entry.seed}/model.safetensors"
    if entry.wants_teacher:
        files["teacher"] = f"<run>/models/{teacher}/model.safetensors"
    if entry.wants_top_k:
        files["soft_targets"] = f"<run>/distilled/{teacher}/{entry.targets}/top-k.safetensors"
    return files


def training_priority(wildcards):
    """Return how many models wait for this one: the longest chain goes first."""
    return EXPERIMENT.dependants[wildcards.trained, int(wildcards.seed)]


def evaluations(table, ending):
    """Return one file of each evaluation that a table shows."""
    config = table_of(EXPERIMENT, table)
    return [
        f"<run>/evaluations/{row.model}/seed-{seed}/{test_set}.{ending}"
        for row in config.rows
        for seed in row.seeds
        for test_set in config.test_sets
    ]


def table_inputs(wildcards):
    """Return the scores, the timings and the translations behind one table."""
    files = {
        "scores": evaluations(wildcards.table, "json"),
        "greedy": evaluations(wildcards.table, "greedy.<tgt>"),
        "searched": evaluations(wildcards.table, "beam-<beam>.<tgt>"),
    }
    files["timings"] = [
        f"<run>/evaluations/{row.model}/seed-{seed}/speed.json"
        for row in table_of(EXPERIMENT, wildcards.table).rows
        for seed in row.seeds
        if wildcards.table == "speed"
    ]
    return files


def distilled_texts():
    """Return the targets of every distilled text that a model learns from."""
    texts = [
        text_of(entry.targets, entry.teacher, entry.teacher_seed)
        for entry in EXPERIMENT.models.values()
        if entry.targets != naming.GOLD
    ]
    return [f"{text}.<tgt>" for text in dict.fromkeys(texts)]


def nbest_lists():
    """Return the n-best lists that those texts were chosen from."""
    lists = [
        nbest_of(entry.targets, entry.teacher, entry.teacher_seed)
        for entry in EXPERIMENT.models.values()
        if entry.targets != naming.GOLD
    ]
    return list(dict.fromkeys(lists))


def tables():
    """Return the tables of this experiment: one for each question that its config asks."""
    asked = {"results": True, "speed": CONFIG.speed.of, "pruning": CONFIG.pruning.of}
    return [table for table, rows in asked.items() if rows]


def finished_models():
    """Return every model of a row with its scores, so that a deleted one is made again."""
    finished = [f"{row.model}/seed-{n}" for row in EXPERIMENT.all_rows for n in row.seeds]
    models = [f"<run>/models/{model}/model.safetensors" for model in finished]
    scores = expand(
        "<run>/evaluations/{model}/{test_set}.json",
        model=finished,
        test_set=CONFIG.corpus.test_sets,
    )
    return [*models, *scores]


def report_options(wildcards, input):
    """Return the row files of the tables, each behind its option."""
    flags = {"results": "--config", "speed": "--speed-config", "pruning": "--pruning-config"}
    return [word for path in input.configs for word in (flags[Path(path).stem], path)]


def show_table():
    """Print the table of results."""
    path = RESULTS / "tables" / "results.md"
    if path.is_file():
        print(path.read_text(encoding="utf-8"))
