# Resources of jobs: cards, memory, and which job goes first.
import shutil

GPU = int(shutil.which("nvidia-smi") is not None)  # without a card, jobs may run side by side


@functools.cache
def weights_of(model):
    """Gigabytes of a model's files.

    One of the hub may not be there yet: it is given room for a T5 and a transformer in half
    precision, and `--set-resources` knows better.
    """
    entry = config["models"][model]
    if "repo" in entry:
        return 16
    files = folder_at(entry["folder"]).rglob("*.safetensors")
    return sum(path.stat().st_size for path in files) / 1e9


def memory_of(wildcards):
    """Memory of a job that loads a model: half precision may become float32, with room to work.

    Relevance of Stable Diffusion 1, 4.3 GB in float32, took 14.5 GB at 512 pixels.
    """
    return f"{6 + round(2 * weights_of(wildcards.model))}GB"


def longest_first(wildcards):
    """Priority of a method by its masks, so that the games do not wait for the slowest one."""
    return config["explain"][wildcards.method].get("masks", 0)
