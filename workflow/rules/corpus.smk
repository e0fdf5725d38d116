"""Parallel text.

Requires: the sources named in the config, fetched or the user's own.
Makes: <run>/corpus/{train,dev}.{lang}, <run>/corpus/train-share-{percent}.{lang},
    <run>/corpus/tests/{test_set}.{lang}.
Steps: fetch -> corpus -> subset, test_set.
"""


rule fetch:
    """Download one pinned file."""
    output:
        "<resources>/{name}",
    log:
        "<resources>/logs/{name}.log",
    wildcard_constraints:
        name=any_of(FETCHED),
    retries: 2
    localrule: True
    conda:
        "../../envs/seqkd.yaml"
    params:
        source=lambda wildcards: as_yaml(source_slice(CORPUS, wildcards.name)),
        code=code("fetch"),
    shell:
        """
        seqkd fetch \
            --config <(printf '%s\n' {params.source:q}) \
            --file {wildcards.name:q} \
            --output {output:q} \
            2>{log:q}
        """


rule corpus:
    """Read, clean, split and decontaminate the training text."""
    input:
        files=users(CORPUS_FILES),
        config="<run>/corpus/config.yaml",
    output:
        held_out=held_out_texts(),
        train_src=ensure("<run>/corpus/train.<src>", non_empty=True),
        train_tgt=ensure("<run>/corpus/train.<tgt>", non_empty=True),
        dev_src=ensure("<run>/corpus/dev.<src>", non_empty=True),
        dev_tgt=ensure("<run>/corpus/dev.<tgt>", non_empty=True),
        funnel="<run>/corpus/funnel.json",
    log:
        "<logs>/corpus/corpus.log",
    benchmark:
        "<benchmarks>/corpus/corpus.jsonl"
    priority: CORPUS_FIRST
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        resources=lambda wildcards: str(RESOURCES),
        folder=subpath(output.funnel, parent=True),
        contents=lambda wildcards: contents(CORPUS_FILES),
        code=code("corpus"),
    shell:
        """
        seqkd corpus \
            --config {input.config:q} \
            --resources {params.resources:q} \
            --output-dir {params.folder:q} \
            2>{log:q}
        """


rule subset:
    """Take an evenly spread share of the training text."""
    input:
        src="<run>/corpus/train.<src>",
        tgt="<run>/corpus/train.<tgt>",
    output:
        src=ensure("<run>/corpus/train-share-{percent}.<src>", non_empty=True),
        tgt=ensure("<run>/corpus/train-share-{percent}.<tgt>", non_empty=True),
    log:
        "<logs>/subset/share-{percent}.log",
    wildcard_constraints:
        percent="[0-9]+",
    localrule: True
    conda:
        "../../envs/seqkd.yaml"
    params:
        code=code("subset"),
    shell:
        """
        seqkd subset \
            --src {input.src:q} \
            --tgt {input.tgt:q} \
            --percent {wildcards.percent:q} \
            --output-src {output.src:q} \
            --output-tgt {output.tgt:q} \
            2>{log:q}
        """


rule test_set:
    """Prepare one test set and flag its sentences that training holds too, or nearly."""
    input:
        unpack(test_set_inputs),
        config="<run>/corpus/tests/{test_set}.yaml",
        train_src="<run>/corpus/train.<src>",
        train_tgt="<run>/corpus/train.<tgt>",
    output:
        src=ensure("<run>/corpus/tests/{test_set}.<src>", non_empty=True),
        tgt=ensure("<run>/corpus/tests/{test_set}.<tgt>", non_empty=True),
        flags="<run>/corpus/tests/{test_set}.json",
    log:
        "<logs>/test_set/{test_set}.log",
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        held_out=lambda wildcards, input: options(input, "held_out_src", "held_out_tgt"),
        resources=lambda wildcards: str(RESOURCES),
        folder=subpath(output.flags, parent=True),
        contents=lambda wildcards: contents(TEST_SET_FILES[wildcards.test_set]),
        code=code("test_set"),
    shell:
        """
        seqkd test-set \
            --config {input.config:q} \
            --name {wildcards.test_set:q} \
            --resources {params.resources:q} \
            {params.held_out:q} \
            --train-src {input.train_src:q} \
            --train-tgt {input.train_tgt:q} \
            --output-dir {params.folder:q} \
            2>{log:q}
        """
