"""Vocabularies.

Requires: <run>/corpus/train.{lang}.
Makes: <run>/vocab/{src,tgt}.vocab.
Steps: vocab.
"""


rule vocab:
    """Fix the vocabularies of both sides, before anything is distilled."""
    input:
        config="<run>/vocab/config.yaml",
        train_src="<run>/corpus/train.<src>",
        train_tgt="<run>/corpus/train.<tgt>",
    output:
        src="<run>/vocab/src.vocab",
        tgt="<run>/vocab/tgt.vocab",
        manifest="<run>/vocab/manifest.json",
    log:
        "<logs>/vocab/vocab.log",
    benchmark:
        "<benchmarks>/vocab/vocab.jsonl"
    priority: CORPUS_FIRST
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        code=code("vocab"),
    shell:
        """
        seqkd vocab \
            --config {input.config:q} \
            --train-src {input.train_src:q} \
            --train-tgt {input.train_tgt:q} \
            --src-vocab {output.src:q} \
            --tgt-vocab {output.tgt:q} \
            --manifest {output.manifest:q} \
            2>{log:q}
        """
