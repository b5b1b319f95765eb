"""What one job costs: denoiser calls, decoded pictures, seconds and disk."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from stepscope.estimate import continuations, trace_size
from stepscope.estimate.dry_runs import Planned
from stepscope.estimate.method_cost import method_cost
from stepscope.timesteps import EXPONENTIAL, ends_as_uniform, named_count, step_count

if TYPE_CHECKING:  # it imports torch
    from stepscope.estimate.measure import Measurement

# Seconds on one CPU thread of a job that reads tables and stores, and of one that draws a figure.
BARE, FIGURE = 2.0, 4.0
BLOCKS = 9  # of a network, which a cascade draws anew one by one, as of Stable Diffusion 1 and 2
OWN_FILES = 3  # of any job: the table or figure, its log, its benchmark


class Needs(NamedTuple):
    """What one job needs: guided calls, decoded pictures, and its store's bytes and files.

    Bytes are those before compression; tables hardly count. `seconds` are those of its work, from
    its start on; `loads` is whether it loads a model.
    """

    calls: float = 0
    pictures: int = 0
    size: float = 0
    files: int = 0
    seconds: float = 0
    loads: bool = False


def cost(
    job: Planned,
    config: dict[str, Any],
    prompts: dict[str, list[dict[str, Any]]],
    measured: Mapping[str, "Measurement"],
    importing: float,
) -> Needs:
    """What a planned job needs, its start included: `importing` where it loads a model.

    `measured` is by the models' names; `importing` are seconds until its libraries are there.
    """
    if not job.outputs:  # a target
        return Needs()
    start = FIGURE if job.rule.startswith("plot_") else BARE
    if "sampling" not in job.wildcards:
        return Needs(seconds=start, files=OWN_FILES)
    model = measured[job.wildcards["model"]]
    needs = Work(config, prompts, job.wildcards, model).needs(job.rule)
    start = importing + model["loading"] if needs.loads else start
    return needs._replace(seconds=start + needs.seconds, files=needs.files + OWN_FILES)


class Work:
    """What one job computes and stores."""

    def __init__(
        self,
        config: dict[str, Any],
        prompts: dict[str, list[dict[str, Any]]],
        wildcards: Mapping[str, str],
        model: "Measurement",
    ) -> None:
        """`prompts` are the study's records by dataset."""
        self.config, self.wildcards, self.model = config, wildcards, model
        self.geometry = model["geometry"]
        self.seeing = model["decoding"] + model["judging"]  # a latent as a picture
        rows = prompts[wildcards["dataset"]]
        records = [row for row in rows if row["batch"] == wildcards.get("batch", row["batch"])]
        self.batches = len({row["batch"] for row in records})  # several where a job has all
        self.words = [len(record["prompt"].split()) for record in records for _ in record["seeds"]]
        self.rows = self.geometry.texts * max(trace_size.tokens(row["prompt"]) for row in records)
        sampling = config["samplings"][wildcards["sampling"]]
        self.sampling, self.steps = sampling, step_count(sampling)

    def needs(self, rule: str) -> Needs:
        """What a job of this rule needs; nothing where the rule neither computes nor stores."""
        of_rule: Callable[[], Needs] = getattr(self, f"_{rule}", Needs)  # the rule's own method
        return of_rule()

    def _generate(self) -> Needs:
        count, scheduler = len(self.words), self.config["scheduler"]
        by_head = self.config["storage"]["attention"] == "heads"
        calls = self.steps
        if self.config["datasets"][self.wildcards["dataset"]]["trace"] == "invert":
            from stepscope.tracing.real_pictures import ITERATIONS

            calls = self.steps * (1 + ITERATIONS) + 2
        traced = trace_size.trace_bytes(
            self.geometry,
            steps=self.steps,
            rows=self.rows,
            order=scheduler["order"] if scheduler["name"] == "dpmsolver++" else 1,
            dtype=self.model["dtype"],
            derived=self.config["storage"]["derived"],
            by_head=by_head,
        )
        return Needs(
            calls=count * calls,
            size=traced * count,
            files=40 + count * (6 + by_head * self.steps * len(self.geometry.grids)),
            seconds=count * calls * self.model["tracing"],
            loads=True,
        )

    def _decode(self) -> Needs:
        count, side = len(self.words), self.config["probe"]["size"]
        pictures = count * (3 * self.steps + 1)  # both halves and guided a step, and the final
        return Needs(
            pictures=pictures,
            size=(9 * self.steps + 3) * side**2 * count,
            files=20 + 2 * count,
            seconds=pictures * self.model["decoding"],
            loads=True,
        )

    def _probe(self) -> Needs:
        return Needs(seconds=len(self.words) * 3 * self.steps * self.model["judging"], loads=True)

    def _ground(self) -> Needs:
        count, (_, height, width) = len(self.words), self.geometry.latent
        pixels = height * width * self.geometry.factor**2
        return Needs(
            size=4 * max(self.words) * pixels * count,
            files=20 + count,
            seconds=count * self.model["judging"],  # by another judge, which is about as fast
            loads=True,
        )

    def _explain(self, restricted: Mapping[str, Any] | None = None) -> Needs:
        entry = self.config["explain"][self.wildcards["method"]] | (restricted or {})
        words, steps = self._restricted(entry)
        _, height, width = self.geometry.latent
        kept = restricted is None and self.config["storage"]["attention"] == "heads"
        cost, replays = method_cost(entry, kept)
        calls = sum(cost(count) for count in words) * steps
        call = self.model["methods"].get(self.wildcards["method"], self.model["tracing"])
        return Needs(
            calls=0 if "denoiser" in entry else calls,
            size=4 * sum(words) * steps * height * width,
            files=20 + len(self.words),
            seconds=calls * call,
            loads=replays,
        )

    def _play_games(self) -> Needs:
        """Every state of a game takes a call; they are decoded where a score is of pictures."""
        from stepscope.scores.game_scores import SCORES
        from stepscope.scores.game_states import settings_of, state_count

        games, (_, height, _) = self.config["games"], self.geometry.latent
        words, steps = self._restricted(games)
        wide = len(words[: games["others"]])
        moves, maps = games["moves"] or height, self._maps()
        calls = steps * sum(
            count * state_count(settings_of(games, every=every), maps, moves, games["draws"])
            for every, count in ((True, wide), (False, len(words) - wide))
        )
        pictures = calls if any(SCORES[name].of != "latent" for name in games["scores"]) else 0
        each = self.model["playing"] if pictures else self.model["tracing"]
        return Needs(calls=calls, pictures=pictures, seconds=calls * each, loads=True)

    def _play_head_games(self) -> Needs:
        """Half a call a state, of the prompt and some of its words, and relevance by head."""
        from stepscope.scores.head_games import rows_of  # what it imports takes seconds

        game = self.config["head_games"]
        words, steps = self._restricted(game)
        every, roles = game["roles"] is None, len(game["roles"] or ())  # half the words have one
        rows = rows_of(sum(self.geometry.heads), game["moves"], game["draws"])
        games = sum(1 + ((count + 1) // 2 if every else roles) for count in words)
        calls = steps * (2 * len(words) + games * rows / 2)
        return Needs(calls=calls, seconds=calls * self.model["tracing"], loads=True)

    def _explain_controls(self) -> Needs:
        """A method's maps again for each of the controls, and once with another seed."""
        controls = self.config["controls"]
        maps = 1 + sum(BLOCKS if kind == "cascade" else 1 for kind in controls["kinds"])
        once = self._explain({name: controls[name] for name in ("steps", "samples")})
        times = {name: maps * getattr(once, name) for name in ("calls", "size", "seconds")}
        return once._replace(**times, loads=True)

    def _measure_substrates(self) -> Needs:
        """Their states are made and not played: of the model it takes the scheduler alone."""
        return Needs(loads=True)

    def _measure_convergence(self) -> Needs:
        settings = self.config["convergence"]
        words, steps = self._restricted(settings)
        calls = len(words) * steps * (settings["masks"] + 3 * settings["trials"])
        return Needs(calls=calls, seconds=calls * self.model["tracing"], loads=True)

    def _measure_commitment(self) -> Needs:
        settings = self.config["commitment"]
        families = len(settings["families"] or self.config["probe"]["families"])
        ends = continuations.commitment(settings, families, len(self.words), self.steps)
        return self._ending(ends)

    def _measure_earliest(self) -> Needs:
        settings = self.config["commitment"]["earliest"]
        return self._ending(continuations.earliest(settings, len(self.words), self.steps))

    def _ending(self, ends: continuations.Ends) -> Needs:
        """Sampling that ends in pictures, which are decoded and read."""
        seconds = ends.calls * self.model["tracing"] + ends.pictures * self.seeing
        return Needs(calls=ends.calls, pictures=ends.pictures, seconds=seconds, loads=True)

    def _measure_nulls(self) -> Needs:
        """Two denoisers that cost next to nothing, whose pictures are decoded and read."""
        settings, samples = self.config["commitment"], self.words[: self.config["nulls"]["samples"]]
        starts = len({self.steps, *range(1, self.steps + 1, settings["every"])})
        pictures = 2 * len(samples) * (self.steps + starts * settings["decided"]["draws"])
        return Needs(pictures=pictures, seconds=pictures * self.seeing, loads=True)

    def _contrast_samplings(self) -> Needs:
        """Matched steps of the exponential samplings, and those of the reference."""
        settings, samplings = self.config["contrast"], self.config["samplings"].values()
        denser = [of for of in samplings if of["kind"] in EXPONENTIAL]
        words = self.words[: settings["samples"]]
        known = words[: settings["reference"]["samples"]]
        matched = sum(step_count(of) for of in denser if not ends_as_uniform(of))
        calls = len(words) * matched + len(known) * settings["reference"]["steps"]
        return Needs(calls=calls, seconds=calls * self.model["tracing"], loads=True)

    def _probe_activations(self) -> Needs:
        """A guided call a sample and step; the probes themselves are about as much."""
        words, steps = self._restricted(self.config["linear_probes"])
        calls = steps * min(len(words) * self.batches, len(self.words))
        return Needs(calls=calls, seconds=2 * calls * self.model["tracing"], loads=True)

    def _restricted(self, entry: dict[str, Any]) -> tuple[list[int], int]:
        """Numbers of words of the samples, and the number of steps, that an entry asks for."""
        return self.words[: entry["samples"]], named_count(entry["steps"], self.sampling)

    def _maps(self) -> tuple[str, ...]:
        """Names of the maps that a job plays: a method with its variants, or the baselines."""
        from stepscope.methods.baselines import NAMES

        method = self.wildcards["method"]
        entry = self.config["explain"].get(method)
        return NAMES if entry is None else (method, *entry.get("variants", ()))
