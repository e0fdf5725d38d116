"""Kim & Rush (2016), sequence-level knowledge distillation: one config file, one results table.

snakemake --configfile config/experiments/home-assistant.yaml --cores 2
docs/paths.md explains every path in results/{experiment}.
"""

from snakemake.utils import min_version

min_version("9.19")


configfile: f"{workflow.basedir}/config/default.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"


pathvars:
    run=f"<results>/{CONFIG.experiment}",
    logs="<run>/logs",
    benchmarks="<run>/benchmarks",
    src=CONFIG.source,
    tgt=CONFIG.target,
    beam=str(CONFIG.evaluation.beam),


wildcard_constraints:
    model=naming.MODEL,
    trained=naming.TRAINED,
    teacher=f"{naming.TRAINED}|{any_of(CONFIG.teachers)}",
    targets=naming.WORD,
    seed=r"[0-9]+",
    nbest=naming.NBEST,
    test_set=any_of(CONFIG.corpus.test_sets),


scattergather:
    decode=CONFIG.decoding.shards,


rule all:
    """Make every table and the report."""
    input:
        expand("<run>/tables/{table}.md", table=tables()),
        "<run>/report.html",
        finished_models(),
    localrule: True


include: "workflow/rules/corpus.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/decode.smk"
include: "workflow/rules/distil.smk"
include: "workflow/rules/compress.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


onsuccess:
    show_table()
