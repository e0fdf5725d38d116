"""A teacher's n-best lists for the training text, and for parts of monolingual text.

Requires: <run>/models/{teacher}/seed-{seed}/model.safetensors or a Hugging Face model,
    <run>/corpus/train.{lang}, a share of it, or <run>/corpus/monolingual-part-{part}.<src>.
Makes: <run>/distilled/{teacher}/seed-{seed}/{nbest}/nbest.jsonl.zst.
Steps: decode, decode_hugging_face (shards) -> merge.
"""


scattergather:
    decode=CONFIG.decoding.shards,


rule decode:
    """Translate one shard of a text into n-best lists."""
    input:
        model=teachers_of,
        src=lambda wildcards: f"{split_of(wildcards)}.<src>",
    output:
        temp("<run>/distilled/{teacher}/seed-{seed}/{nbest}/shards/{shard}-of-{shards}.jsonl.zst"),
    log:
        "<logs>/decode/{teacher}/seed-{seed}/{nbest}/{shard}-of-{shards}.log",
    benchmark:
        "<benchmarks>/decode/{teacher}/seed-{seed}/{nbest}/{shard}-of-{shards}.jsonl"
    wildcard_constraints:
        teacher=naming.TRAINED,
        seed=naming.SEEDS,
        shard="[0-9]+",
        shards="[0-9]+",
    priority: DISTILLED_TEXT
    conda:
        "../../envs/seqkd.yaml"
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=480,  # fixed, as in train.smk
        gpu=GPU,
        device=CONFIG.device,
    params:
        search=lambda wildcards: list_config(wildcards).decode_options,
        code=nbest_code("decode"),
    shell:
        """
        exec seqkd decode \
            --model {input.model:q} \
            --src {input.src:q} \
            {params.search:q} \
            --shard {wildcards.shard:q} \
            --shards {wildcards.shards:q} \
            --output {output:q} \
            --threads {threads} \
            --device {resources.device:q} \
            2>{log:q}
        """


rule decode_hugging_face:
    """Translate one shard of a text by a model of Hugging Face's transformers."""
    input:
        model=lambda wildcards: users(GIVEN_FILES[wildcards.teacher]),
        src=lambda wildcards: f"{split_of(wildcards)}.<src>",
        tgt_vocab="<run>/vocab/tgt.vocab",
    output:
        temp("<run>/distilled/{teacher}/seed-{seed}/{nbest}/shards/{shard}-of-{shards}.jsonl.zst"),
    log:
        "<logs>/decode/{teacher}/seed-{seed}/{nbest}/{shard}-of-{shards}.log",
    benchmark:
        "<benchmarks>/decode/{teacher}/seed-{seed}/{nbest}/{shard}-of-{shards}.jsonl"
    wildcard_constraints:
        teacher=any_of(teachers_of_kind(HuggingFaceTeacher)),
        shard="[0-9]+",
        shards="[0-9]+",
    priority: DISTILLED_TEXT
    conda:
        "../../envs/hugging-face.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=480,  # fixed, as in train.smk
        gpu=GPU,
        device=CONFIG.device,
    params:
        teacher=lambda wildcards: CONFIG.teachers[wildcards.teacher].options,
        search=lambda wildcards: list_config(wildcards).decode_options,
        contents=lambda wildcards: contents(GIVEN_FILES[wildcards.teacher]),
        code=nbest_code("decode_hugging_face"),
    shell:
        """
        exec seqkd decode-hugging-face \
            {params.teacher:q} \
            --src {input.src:q} \
            --tgt-vocab {input.tgt_vocab:q} \
            {params.search:q} \
            --shard {wildcards.shard:q} \
            --shards {wildcards.shards:q} \
            --output {output:q} \
            --threads {threads} \
            --device {resources.device:q} \
            2>{log:q}
        """


rule merge:
    """Merge n-best shards; the result does not depend on how many there are."""
    input:
        shards=gather.decode(
            "<run>/distilled/{{teacher}}/seed-{{seed}}/{{nbest}}/shards/{scatteritem}.jsonl.zst"
        ),
        src=lambda wildcards: f"{split_of(wildcards)}.<src>",
    output:
        ensure("<run>/distilled/{teacher}/seed-{seed}/{nbest}/nbest.jsonl.zst", non_empty=True),
    log:
        "<logs>/merge/{teacher}/seed-{seed}/{nbest}.log",
    wildcard_constraints:
        teacher=f"{naming.TRAINED}|{any_of(teachers_of_kind(HuggingFaceTeacher))}",
        seed=naming.SEEDS,
    priority: DISTILLED_TEXT
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        # Shards of another count have no history: what they depend on is watched here too.
        teacher=given_teacher,
        search=lambda wildcards: list_config(wildcards).decode_options,
        code=nbest_code("decode", "merge"),
    shell:
        """
        seqkd merge \
            --shards {input.shards:q} \
            --src {input.src:q} \
            --output {output:q} \
            2>{log:q}
        """
