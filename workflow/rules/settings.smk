"""The part of the config that one step depends on, as a small file of its own.

Requires: the config.
Makes: <run>/{part}.yaml, an input of that step: a change elsewhere in the config leaves it alone.
Steps: settings.
"""


rule settings:
    """Write one part of the config."""
    output:
        "<run>/{part}.yaml",
    log:
        "<logs>/settings/{part}.log",
    wildcard_constraints:
        part=parts(EXPERIMENT),
    priority: CORPUS_FIRST
    localrule: True
    conda:
        "../../envs/seqkd.yaml"
    params:
        text=lambda wildcards: as_yaml(slice_of(EXPERIMENT, wildcards.part)),
    shell:
        "printf '%s\n' {params.text:q} > {output:q} 2> {log:q}"
