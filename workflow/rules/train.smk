"""Training. Teacher and student are the same rule: they differ in the entry and in the text.

Requires: <run>/corpus, <run>/vocab; for students the teacher's <run>/distilled.
Makes: <run>/models/{trained}/seed-{seed}/{config.yaml,model.safetensors,curve.jsonl,manifest.json}.
Steps: settings (config.yaml) -> train.
"""


rule train:
    """Train one model: a teacher, a student, or one stage of either."""
    input:
        unpack(training_inputs),
        config="<run>/models/{trained}/seed-{seed}/config.yaml",
        src_vocab="<run>/vocab/src.vocab",
        tgt_vocab="<run>/vocab/tgt.vocab",
        dev_src="<run>/corpus/dev.<src>",
        dev_tgt="<run>/corpus/dev.<tgt>",
    output:
        model="<run>/models/{trained}/seed-{seed}/model.safetensors",
        curve="<run>/models/{trained}/seed-{seed}/curve.jsonl",
        manifest="<run>/models/{trained}/seed-{seed}/manifest.json",
    log:
        "<logs>/train/{trained}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train/{trained}/seed-{seed}.jsonl"
    priority: training_priority
    conda:
        "../../envs/seqkd.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=1440,  # fixed: partitions have limits, and a retry resumes
        gpu=GPU,
        device=CONFIG.device,
        processes=1,
        save_seconds=round(60 * CONFIG.save_minutes),
    params:
        languages=[CONFIG.source, CONFIG.target],
        bleu=CONFIG.bleu.signature,
        optional=lambda wildcards, input: options(
            input, "init", "teacher", "soft_targets", "lexicon"
        ),
        folder=subpath(output.model, parent=True),
        code=code("train"),
    shell:
        # The state of an unfinished run is no output: Snakemake would delete it with the job.
        """
        exec seqkd train \
            --config {input.config:q} \
            --source {params.languages[0]:q} \
            --target {params.languages[1]:q} \
            --bleu {params.bleu:q} \
            --src-vocab {input.src_vocab:q} \
            --tgt-vocab {input.tgt_vocab:q} \
            --train-src {input.train_src:q} \
            --train-tgt {input.train_tgt:q} \
            --dev-src {input.dev_src:q} \
            --dev-tgt {input.dev_tgt:q} \
            {params.optional:q} \
            --model {output.model:q} \
            --curve {output.curve:q} \
            --manifest {output.manifest:q} \
            --state {params.folder:q}/state \
            --save-seconds {resources.save_seconds} \
            --threads {threads} \
            --processes {resources.processes} \
            --device {resources.device:q} \
            2>{log:q}
        """
