"""Word alignment, for models whose training is guided by it (`training.guided_alignment`).

Requires: <run>/corpus/train.{lang}, <run>/vocab.
Makes: <run>/alignment/lexicon.safetensors.
Steps: align.
"""


rule align:
    """Learn which target words translate a source word, from the gold text."""
    input:
        src="<run>/corpus/train.<src>",
        tgt="<run>/corpus/train.<tgt>",
        src_vocab="<run>/vocab/src.vocab",
        tgt_vocab="<run>/vocab/tgt.vocab",
    output:
        "<run>/alignment/lexicon.safetensors",
    log:
        "<logs>/align/lexicon.log",
    benchmark:
        "<benchmarks>/align/lexicon.jsonl"
    priority: CORPUS_FIRST
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        code=code("align"),
    shell:
        """
        seqkd align \
            --src {input.src:q} \
            --tgt {input.tgt:q} \
            --src-vocab {input.src_vocab:q} \
            --tgt-vocab {input.tgt_vocab:q} \
            --output {output:q} \
            2>{log:q}
        """
