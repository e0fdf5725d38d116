"""What the rules share: the experiment and the input functions.

Nothing here is a rule, and what can be worked out without Snakemake is in the package. Paths are
relative to the working directory; <run> is the experiment's folder, <src> and <tgt> its languages.
"""

import re
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from seqkd.config import naming
from seqkd.machine.code_hash import code_hash
from seqkd.config.experiment import parse_experiment
from seqkd.config.corpus import all_sources, files_of_test_set, required_files
from seqkd.errors import SeqkdError
from seqkd.config.expansion import Experiment
from seqkd.config.sources import fetched_names
from seqkd.config.slices import slice_of, source_slice, table_of
from seqkd.config.teachers import FileTeacher, HuggingFaceTeacher

if "experiment" not in config:

    configfile: f"{workflow.basedir}/config/experiments/home-assistant.yaml"


RESOURCES = Path("resources")

try:
    EXPERIMENT = Experiment(parse_experiment(config))
    CONFIG = EXPERIMENT.config
    GIVEN_FILES = {name: teacher.files for name, teacher in CONFIG.teachers.items()}
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


def teachers_of_kind(kind):
    """Return the names of the teachers that were not trained here and are of a kind."""
    return [name for name, teacher in CONFIG.teachers.items() if isinstance(teacher, kind)]


def any_of(names):
    """Return a regular expression for exactly these names."""
    return "|".join(map(re.escape, names)) or "(?!)"


def code(*steps):
    """Return the hash of the code behind steps: a param, so that a change of it reruns the rule."""
    return code_hash(*(f"seqkd.steps.{step}" for step in steps))


def nbest_code(*steps):
    """Return the same for an n-best list, which depends on the sampler only if it is sampled."""

    def without_unused(wildcards):
        sampled = wildcards.nbest.startswith("sample-")
        unused = frozenset() if sampled else frozenset({"seqkd.search.sampling"})
        return code_hash(*(f"seqkd.steps.{step}" for step in steps), unused=unused)

    return without_unused


def growing(amount):
    """Return a resource that grows with each attempt: what was too little is not tried again."""
    return lambda wildcards, attempt: amount * attempt


def as_yaml(value):
    """Return a slice of the config as the text of its file."""
    text = yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    return text.rstrip()


def options(files, *names):
    """Return `--name file...` for those of the named inputs that a job has."""
    words = []
    for name in names:
        paths = files.get(name) or []
        paths = [paths] if isinstance(paths, str) else paths
        words += [f"--{name.replace('_', '-')}", *paths] if paths else []
    return words


def tables():
    """Return the tables of this experiment: one for each question that its config asks."""
    asked = {"results": True, "speed": CONFIG.speed.of, "pruning": CONFIG.pruning.of}
    return [table for table, rows in asked.items() if rows]


def report_options(wildcards, input):
    """Return the row files of the tables, each behind its option."""
    flags = {"results": "--config", "speed": "--speed-config", "pruning": "--pruning-config"}
    return [word for path in input.configs for word in (flags[Path(path).stem], path)]


def show_table():
    """Print the table of results."""
    path = RESULTS / "tables" / "results.md"
    if path.is_file():
        print(path.read_text(encoding="utf-8"))
