"""What a teacher gives its students: training targets and word distributions.

Requires: <run>/distilled/{teacher}/seed-{seed}/{nbest}/nbest.jsonl.zst or a file of translations by
    another system; the teacher's model.
Makes: <run>/distilled/{teacher}/seed-{seed}/{targets}/{train.{lang},top-k.npy}.
Steps: adopt (the file as n-best lists) -> select; soft_targets.
"""


rule adopt:
    """Take over the translations of another system, checked line by line."""
    input:
        unpack(adopted_inputs),
        tgt_vocab="<run>/vocab/tgt.vocab",
    output:
        nbest=ensure(
            "<run>/distilled/{teacher}/seed-{seed}/{nbest}/nbest.jsonl.zst", non_empty=True
        ),
        manifest="<run>/distilled/{teacher}/seed-{seed}/{nbest}/nbest.json",
    log:
        "<logs>/adopt/{teacher}/seed-{seed}/{nbest}.log",
    wildcard_constraints:
        teacher=any_of(teachers_of_kind(FileTeacher)),
    priority: DISTILLED_TEXT
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        format=lambda wildcards: CONFIG.teachers[wildcards.teacher].format,
        length=lambda wildcards: list_config(wildcards).length,
        contents=lambda wildcards: contents(GIVEN_FILES[wildcards.teacher]),
        code=code("adopt"),
    shell:
        """
        seqkd adopt \
            --translations {input.translations:q} \
            --format {params.format:q} \
            --translated {input.translated:q} \
            --src {input.src:q} \
            --tgt-vocab {input.tgt_vocab:q} \
            --n-best {params.length} \
            --output {output.nbest:q} \
            --manifest {output.manifest:q} \
            2>{log:q}
        """


rule select:
    """Choose the training targets of each source sentence."""
    input:
        unpack(selection_inputs),
        config="<run>/distilled/{teacher}/seed-{seed}/{targets}/config.yaml",
        tgt_vocab="<run>/vocab/tgt.vocab",
    output:
        src=ensure("<run>/distilled/{teacher}/seed-{seed}/{targets}/train.<src>", non_empty=True),
        tgt=ensure("<run>/distilled/{teacher}/seed-{seed}/{targets}/train.<tgt>", non_empty=True),
        manifest="<run>/distilled/{teacher}/seed-{seed}/{targets}/manifest.json",
    log:
        "<logs>/select/{teacher}/seed-{seed}/{targets}.log",
    benchmark:
        "<benchmarks>/select/{teacher}/seed-{seed}/{targets}.jsonl"
    wildcard_constraints:
        seed=naming.SEEDS,
    priority: DISTILLED_TEXT
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(240),
    params:
        bleu=bleu_of_similarity,
        texts=lambda wildcards, input: options(
            input, "nbest", "src", "reference", "monolingual_nbest", "monolingual_src"
        ),
        code=code("select_targets"),
    shell:
        """
        seqkd select \
            --config {input.config:q} \
            {params.texts:q} \
            --tgt-vocab {input.tgt_vocab:q} \
            {params.bleu:q} \
            --output-src {output.src:q} \
            --output-tgt {output.tgt:q} \
            --manifest {output.manifest:q} \
            2>{log:q}
        """


rule soft_targets:
    """Store a teacher's word distributions along a text, for Word-KD."""
    input:
        unpack(soft_target_inputs),
        model=teachers_of,
    output:
        top_k="<run>/distilled/{teacher}/seed-{seed}/{targets}/top-k.npy",
        manifest="<run>/distilled/{teacher}/seed-{seed}/{targets}/top-k.json",
    log:
        "<logs>/soft_targets/{teacher}/seed-{seed}/{targets}.log",
    benchmark:
        "<benchmarks>/soft_targets/{teacher}/seed-{seed}/{targets}.jsonl"
    wildcard_constraints:
        seed=naming.SEEDS,
    priority: SOFT_TARGETS
    conda:
        "../../envs/seqkd.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
        gpu=GPU,
        device=CONFIG.device,
    params:
        k=CONFIG.soft_targets.k,
        code=code("soft_targets"),
    shell:
        """
        seqkd soft-targets \
            --model {input.model:q} \
            --src {input.train_src:q} \
            --tgt {input.train_tgt:q} \
            --top-k {params.k} \
            --output {output.top_k:q} \
            --manifest {output.manifest:q} \
            --threads {threads} \
            --device {resources.device:q} \
            2>{log:q}
        """
