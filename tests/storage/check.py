"""Results in an object storage: a part of the tiny study by Snakemake's S3 plugin, on moto.

    make test-storage

A trace store is made and uploaded by one run, read again by the jobs of a second one, whose folder
has nothing of the first, and compared with the same results without a storage; then traces, maps
and a damaged file are read from there by the package.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

import stepscope
from faults.storm import make_models
from stepscope.store.maps import read_maps
from stepscope.store.traces import read_step
from support.stores import contents
from support.workflow import Study, new_study

BUCKET, PREFIX = "study", "s3://study"
UNIT = "tiny/pairs/uniform/0"
TRACES = f"results/tiny/traces/{UNIT}.zarr"
MAPS = f"results/tiny/maps/{UNIT}/cross_attention.zarr"
TABLE = f"results/tiny/tables/parts/rq2_relevance/{UNIT}.tsv"
STORAGE = ("--default-storage-provider", "s3", "--default-storage-prefix", PREFIX)
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


def stored(name: str) -> dict[str, bytes]:
    """Files below a name in the bucket."""
    bucket = boto3.resource("s3").Bucket(BUCKET)
    return {
        item.key.removeprefix(f"{name}/"): item.get()["Body"].read()
        for item in bucket.objects.filter(Prefix=name)
    }


def check(study: Study, models: Path, alone: Study) -> None:
    """Run in two folders, compare and read."""
    study.snakemake(*STORAGE, "--", TRACES)
    assert not (study.folder / TRACES).exists(), "the traces were to be in the storage alone"
    print(f"{TRACES}: {len(stored(TRACES))} objects in the bucket", flush=True)
    other = new_study(study.folder.with_name("other"), models)
    planned = other.planned(*STORAGE, "--", TRACES)
    assert not planned, f"made again in another folder: {planned}"
    other.snakemake(*STORAGE, "--", MAPS, TABLE)
    alone.snakemake("--", TABLE)
    for name in (TRACES, MAPS):
        local, remote = alone.folder / name, stored(name)
        names = {path for path in contents(local) if path != "zarr.json"}
        assert names == remote.keys() - {"zarr.json", ".snakemake_timestamp"}, name
        assert all((local / path).read_bytes() == remote[path] for path in names), name
    (table,) = stored(TABLE).values()
    assert table == (alone.folder / TABLE).read_bytes()
    print("the same traces, maps and table as without a storage", flush=True)
    read()


def read() -> None:
    """Read a trace and maps from the bucket, and refuse a damaged one by name."""
    tree = stepscope.open_trace(f"{PREFIX}/{TRACES}")
    step = read_step(tree, 0, 1)
    assert step.latent.isfinite().all()
    maps = read_maps(f"{PREFIX}/{MAPS}")
    assert set(maps) == {"cross_attention"}
    chunk = next(name for name in stored(TRACES) if name.startswith("latent/value/c"))
    boto3.resource("s3").Object(BUCKET, f"{TRACES}/{chunk}").put(Body=b"damaged")
    with pytest.raises(ValueError, match=f"{PREFIX}/{TRACES}/{re.escape(chunk)}.*damaged"):
        read_step(stepscope.open_trace(f"{PREFIX}/{TRACES}"), 0, 1)
    print("read by the package, a damaged chunk refused by name", flush=True)


def main() -> None:
    """Start a server, make the bucket, run."""
    if sys.flags.optimize:
        raise SystemExit("not with -O: what is checked are assertions")
    server = ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        os.environ |= KEYS | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            models = make_models(folder / "models")
            study, alone = (new_study(folder / each, models) for each in ("study", "alone"))
            check(study, models, alone)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
