"""Monolingual text for teachers to translate.

Requires: <run>/corpus, and the sources named in the config, fetched or the user's own.
Makes: <run>/corpus/monolingual{,-part-{part}}.<src>, <run>/corpus/monolingual-funnel.json.
Steps: monolingual -> monolingual_part.
"""


rule monolingual:
    """Read, clean and decontaminate text of the source language alone."""
    input:
        files=users(MONOLINGUAL_FILES),
        config="<run>/corpus/monolingual.yaml",
        train_src="<run>/corpus/train.<src>",
        held_out=["<run>/corpus/dev.<src>", *test_sets("<src>")],
    output:
        text=ensure("<run>/corpus/monolingual.<src>", non_empty=True),
        funnel="<run>/corpus/monolingual-funnel.json",
    log:
        "<logs>/monolingual/monolingual.log",
    benchmark:
        "<benchmarks>/monolingual/monolingual.jsonl"
    priority: CORPUS_FIRST
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        resources=lambda wildcards: str(RESOURCES),
        contents=lambda wildcards: contents(MONOLINGUAL_FILES),
        # The file of a test set that is named again is old, so its time triggers nothing.
        test_sets=sorted(CONFIG.corpus.test_sets),
        code=code("monolingual"),
    shell:
        """
        seqkd monolingual \
            --config {input.config:q} \
            --resources {params.resources:q} \
            --train-src {input.train_src:q} \
            --held-out {input.held_out:q} \
            --output {output.text:q} \
            --funnel {output.funnel:q} \
            2>{log:q}
        """


rule monolingual_part:
    """Take one part of the monolingual text, so that more of it leaves earlier parts alone."""
    input:
        "<run>/corpus/monolingual.<src>",
    output:
        ensure("<run>/corpus/monolingual-part-{part}.<src>", non_empty=True),
    log:
        "<logs>/monolingual_part/{part}.log",
    wildcard_constraints:
        part="[0-9]+",
    priority: CORPUS_FIRST
    localrule: True
    conda:
        "../../envs/seqkd.yaml"
    resources:
        needed=MONOLINGUAL_SENTENCES,
    params:
        lines=CONFIG.decoding.monolingual_part,
        code=code("part"),
    shell:
        """
        seqkd part \
            --text {input:q} \
            --part {wildcards.part:q} \
            --lines {params.lines} \
            --needed {resources.needed} \
            --output {output:q} \
            2>{log:q}
        """
