"""Scores and speed of every model, from its file, in a fresh process.

Requires: <run>/models/{model}/seed-{seed}/model.safetensors, <run>/corpus/tests.
Makes: <run>/evaluations/{model}/seed-{seed}/{test_set}.json and translations; speed.json.
Steps: evaluate, speed.
"""


rule evaluate:
    """Translate a test set, greedily and by beam search, and score both."""
    input:
        model="<run>/models/{model}/seed-{seed}/model.safetensors",
        src="<run>/corpus/tests/{test_set}.<src>",
        tgt="<run>/corpus/tests/{test_set}.<tgt>",
    output:
        scores="<run>/evaluations/{model}/seed-{seed}/{test_set}.json",
        greedy="<run>/evaluations/{model}/seed-{seed}/{test_set}.greedy.<tgt>",
        searched="<run>/evaluations/{model}/seed-{seed}/{test_set}.beam-<beam>.<tgt>",
    log:
        "<logs>/evaluate/{model}/seed-{seed}/{test_set}.log",
    benchmark:
        "<benchmarks>/evaluate/{model}/seed-{seed}/{test_set}.jsonl"
    conda:
        "../../envs/seqkd.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=GPU,
        device=CONFIG.device,
    params:
        beam=CONFIG.evaluation.beam,
        bleu=CONFIG.bleu.signature,
        second_bleu=["--second-bleu", SECOND_BLEU.signature] if SECOND_BLEU else [],
        code=code("evaluate"),
    shell:
        """
        seqkd evaluate \
            --model {input.model:q} \
            --src {input.src:q} \
            --reference {input.tgt:q} \
            --beam {params.beam} \
            --bleu {params.bleu:q} \
            {params.second_bleu:q} \
            --scores {output.scores:q} \
            --greedy {output.greedy:q} \
            --beam-output {output.searched:q} \
            --threads {threads} \
            --device {resources.device:q} \
            2>{log:q}
        """


rule speed:
    """Measure how fast a model translates, with nothing else running on this machine."""
    input:
        model="<run>/models/{model}/seed-{seed}/model.safetensors",
        src=f"<run>/corpus/tests/{TIMED_TEST_SET}.<src>",
    output:
        "<run>/evaluations/{model}/seed-{seed}/speed.json",
    log:
        "<logs>/speed/{model}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/speed/{model}/seed-{seed}.jsonl"
    conda:
        "../../envs/seqkd.yaml"
    threads: cores_of_a_timing
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
        gpu=GPU,
        device=CONFIG.device,
    params:
        test_set=TIMED_TEST_SET,
        beam=CONFIG.evaluation.beam,
        code=code("speed"),
    shell:
        """
        seqkd speed \
            --model {input.model:q} \
            --src {input.src:q} \
            --output {output:q} \
            --beam {params.beam} \
            --threads {threads} \
            --device {resources.device:q} \
            2>{log:q}
        """
