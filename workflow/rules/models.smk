# Models from the hub, fetched once at their pinned revision; jobs then work without a network.


rule fetch_model:
    output:
        touch("<results>/models/{model}.done"),
    log:
        "<logs>/fetch_model/{model}.log",
    conda:
        "../../envs/generate.yaml"
    localrule: True
    retries: 3
    params:
        model=lookup(dpath="models/{model}", within=config),
    script:
        "../scripts/fetch_model.py"
