# RQ3: does the network's state hold a concept before it is visible? Linear probes of activations, on
# all batches of a sampling together, and their figure.


rule probe_activations:
    input:
        traces=of_all_batches("<traces>"),
        previews=of_all_batches("<previews>"),
        concepts=of_all_batches("<results>/tables/parts/rq3_concepts/<batch>.tsv"),
    output:
        probes="<results>/tables/parts/rq3_probes/{model}/{dataset}/{sampling}.tsv",
        summary="<results>/tables/parts/rq3_probes_summary/{model}/{dataset}/{sampling}.tsv",
    log:
        "<logs>/probe_activations/{model}/{dataset}/{sampling}.log",
    benchmark:
        "<benchmarks>/probe_activations/{model}/{dataset}/{sampling}.jsonl"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem=memory_of,
        runtime="2h",
    params:
        model=spec("models", "{model}"),
        families=lookup(dpath="probe/families", within=config),
        reader=reader_of("linear_probes"),
        reader_code=reader_code_of("linear_probes"),
        settings=lookup(dpath="linear_probes", within=config),
        statistics=lookup(dpath="statistics", within=config),
        code=code("scores.activation_probes", "statistics.probe_onsets", tables=("rq3_concepts",)),
    script:
        "../scripts/probe_activations.py"


use rule plot_rq1_maps_over_time as plot_rq3_probes with:
    input:
        probes=table("rq3_probes"),
        summary=table("rq3_probes_summary"),
    output:
        **figure("rq3_probes", "probes per layer and step"),
    log:
        "<logs>/plot_rq3_probes.log",
    benchmark:
        "<benchmarks>/plot_rq3_probes.jsonl"
    params:
        figure="rq3_probes",
        settings={
            "probes": config["linear_probes"],
            "reader": config["linear_probes"]["reader"],
            "bootstrap": config["statistics"],
        },
        code=code("figures.probes", "store.tables", tables=PROBED),
