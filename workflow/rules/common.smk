"""What the rules share: the experiment, priorities, and helpers for their directives.

There are no rules here, and whatever does not need Snakemake is in the package. Paths are relative
to the working directory; <run> is the experiment's folder, <src> and <tgt> its languages.
"""

import re
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# In a clone the package need not be installed where Snakemake is: jobs may have it from conda.
sys.path.append(str(Path(workflow.snakefile).parents[2] / "src"))

from seqkd.config import naming
from seqkd.machine.code_hash import code_hash
from seqkd.machine.digest_cache import DigestCache
from seqkd.config.experiment import parse_experiment
from seqkd.config.corpus import all_sources, own_sources
from seqkd.errors import SeqkdError
from seqkd.config.expansion import Experiment
from seqkd.config.sources import fetched_names
from seqkd.config.schema import load_yaml, overlay
from seqkd.config.slices import check_target, parts, slice_of, source_slice, table_of, tables
from seqkd.config.teachers import FileTeacher, HuggingFaceTeacher
from seqkd.runs.start import is_outdated, refuse_missing, refuse_orphans, start_run

DEFAULTS = workflow.source_path("../../config/default.yaml")
RESOURCES = Path(workflow.pathvars.apply("<resources>"))

try:
    for path in workflow.overwrite_configfiles or workflow.configfiles:
        load_yaml(path)  # of two equal keys, Snakemake takes the last
    EXPERIMENT = Experiment(parse_experiment(overlay(load_yaml(DEFAULTS), config)))
    CONFIG = EXPERIMENT.config
    GIVEN_FILES = {name: teacher.files for name, teacher in CONFIG.teachers.items()}
    CORPUS = CONFIG.parallel_corpus
    CORPUS_FILES = CORPUS.files_of(all_sources(CORPUS.for_training()), RESOURCES)
    MONOLINGUAL_FILES = CORPUS.files_of(CORPUS.monolingual, RESOURCES)
    OWN_FILES = set(CORPUS.files_of(own_sources(CORPUS), RESOURCES)).union(*GIVEN_FILES.values())
    DIGESTS = DigestCache(Path(".snakemake", "seqkd", "digests.json"))
    TEST_SET_FILES = {
        name: CORPUS.files_of([test], RESOURCES) for name, test in CORPUS.test_sets.items()
    }
except SeqkdError as error:
    raise WorkflowError(str(error)) from None

# On one machine, jobs that are ready start in order of priority; a cluster's scheduler ignores it.
# A training has the number of models that wait for it, so that the longest chain starts first.
CORPUS_FIRST = 1000  # text, vocabularies, parts of the config: every training waits for them
DISTILLED_TEXT = 500  # decoding and selection, which whole chains of students wait for
SOFT_TARGETS = 400  # only the students of Word-KD wait for these

# Settings that never change a result (device, processes, save_seconds, memory, time) are
# `resources` of the rules: unlike changed `params`, changed resources rerun nothing.
GPU = int(CONFIG.device == "cuda")
SIDES = ("src", "tgt")
SECOND_BLEU = CONFIG.evaluation.second_bleu
RESULTS = Path(workflow.pathvars.apply("<results>"), CONFIG.experiment)
TIMED_TEST_SET = next(iter(CONFIG.corpus.test_sets))
FETCHED = [
    name for source in all_sources(CORPUS) for name in fetched_names(source, CORPUS.languages)
]

if workflow.is_main_process and (missing := CONFIG.missing_tokenizer):
    print(missing, file=sys.stderr)

# False in the processes that Snakemake starts for jobs.
ALONE = workflow.is_main_process and start_run(
    logger, RESULTS, dry_run=workflow.output_settings.dryrun
)


def teachers_of_kind(kind):
    """Return the names of the teachers of a kind that were not trained here."""
    return [name for name, teacher in CONFIG.teachers.items() if isinstance(teacher, kind)]


def any_of(names):
    """Return a regular expression for exactly these names."""
    return "|".join(map(re.escape, names)) or "(?!)"


def code(*steps):
    """Return the hash of the code of steps; as a param it reruns the rule when the code changes."""
    return code_hash(*(f"seqkd.steps.{step}" for step in steps))


def nbest_code(*steps):
    """Return the same for an n-best list, which depends on the sampler only if it is sampled."""

    def without_unused(wildcards):
        sampled = wildcards.nbest.startswith("sample-")
        unused = frozenset() if sampled else frozenset({"seqkd.search.sampling"})
        return code_hash(*(f"seqkd.steps.{step}" for step in steps), unused=unused)

    return without_unused


def users(files):
    """Return files as inputs whose date means nothing; their content is in `contents`."""
    return [path if RESOURCES in path.parents else ancient(str(path)) for path in map(Path, files)]


def contents(files):
    """Return the digests of the user's files; as a param they rerun the rule when one changes.

    What the config pins by a checksum is left out.
    """
    return [DIGESTS.digest(path) for path in files if path in OWN_FILES]


def growing(amount):
    """Return a resource that grows with each attempt, so that a job killed for it can finish."""
    return lambda wildcards, attempt: amount * attempt


def cores_of_a_timing(wildcards):
    """Return all cores of this machine, so that nothing disturbs the job; four if submitted."""
    return 4 if workflow.remote_exec or not workflow.local_exec else workflow.cores


def as_yaml(value):
    """Return a part of the config as YAML text."""
    text = yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    return text.rstrip()


def options(files, *names):
    """Return `--name file...` for each of these inputs that a job has."""
    words = []
    for name in names:
        paths = files.get(name) or []
        paths = [paths] if isinstance(paths, str) else paths
        words += [f"--{name.replace('_', '-')}", *paths] if paths else []
    return words


onstart:
    if ALONE:
        refuse_orphans()


onsuccess:
    table = RESULTS / "tables" / "results.md"
    if table.is_file():
        print(table.read_text(encoding="utf-8"))
