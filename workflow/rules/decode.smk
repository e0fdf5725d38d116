"""A teacher's n-best lists for the training text.

Requires: <run>/models/{teacher}/seed-{seed}/model.safetensors, <run>/corpus/train.{lang}; or what
    a teacher is that was not trained here.
Makes: <run>/distilled/{teacher}/seed-{seed}/beam-{K}/nbest.jsonl.zst.
Steps: cut (where only a share is decoded) -> decode (shards) -> merge; or adopt.
"""


rule cut:
    """Take an evenly spread share of the training text."""
    input:
        src="<run>/corpus/train.<src>",
        tgt="<run>/corpus/train.<tgt>",
    output:
        src=ensure("<run>/corpus/train-share-{percent}.<src>", non_empty=True),
        tgt=ensure("<run>/corpus/train-share-{percent}.<tgt>", non_empty=True),
    log:
        "<logs>/cut/share-{percent}.log",
    wildcard_constraints:
        percent="[0-9]+",
    localrule: True
    conda:
        "../../envs/seqkd.yaml"
    params:
        chosen="int(NR * percent / 100) > int((NR - 1) * percent / 100)",
    shell:
        """
        exec 2>{log:q}
        export LC_ALL=C
        awk -v percent={wildcards.percent:q} {params.chosen:q} {input.src:q} >{output.src:q}
        awk -v percent={wildcards.percent:q} {params.chosen:q} {input.tgt:q} >{output.tgt:q}
        """


rule decode:
    """Translate one shard of the training text into n-best lists."""
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
    priority: 500
    conda:
        "../../envs/seqkd.yaml"
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(480),
        gpu=GPU,
        device=CONFIG.device,
    params:
        search=search_of,
        code=nbest_code("decode"),
    shell:
        """
        seqkd decode \
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
    """Translate one shard of the training text by a model of Hugging Face's transformers."""
    input:
        model=lambda wildcards: GIVEN_FILES[wildcards.teacher],
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
    priority: 500
    conda:
        "../../envs/hugging-face.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(480),
        gpu=GPU,
        device=CONFIG.device,
    params:
        teacher=lambda wildcards: CONFIG.teachers[wildcards.teacher].options,
        search=search_of,
        code=nbest_code("decode_hugging_face"),
    shell:
        """
        seqkd decode-hugging-face \
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
    priority: 500
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        # Another shard count has shards without a history: the decoder's code is watched here too.
        code=nbest_code("decode", "merge"),
    shell:
        """
        seqkd merge \
            --shards {input.shards:q} \
            --src {input.src:q} \
            --output {output:q} \
            2>{log:q}
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
    priority: 500
    conda:
        "../../envs/seqkd.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        format=lambda wildcards: CONFIG.teachers[wildcards.teacher].format,
        length=list_length,
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
