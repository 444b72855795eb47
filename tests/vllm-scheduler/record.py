"""Records what vLLM's own scheduler decides for the cases of this folder.

    python record.py [--check] SCENARIOS_FOLDER OUT_FOLDER [CASE...]

Each scenario is played to the scheduler class without a model: whoever has computed all known tokens gets one token.
What it decides in each call is written to OUT_FOLDER; README.md tells the format, and which packages this needs.
With --check the recordings are also compared with the folder `expected` beside SCENARIOS_FOLDER.
Ends with 1 if one of them differs and with 2 if a case cannot be recorded or compared.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

# vLLM reads it when it is imported; it would tell of every configuration that it lacks a device.
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

try:
    import torch
    import vllm
    from vllm.config import CacheConfig, ModelConfig, SchedulerConfig, VllmConfig
    from vllm.sampling_params import SamplingParams
    from vllm.utils.hashing import sha256
    from vllm.v1.core.kv_cache_utils import (
        get_request_block_hasher,
        init_none_hash,
        resolve_kv_cache_block_sizes,
    )
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.kv_cache_interface import (
        ChunkedLocalAttentionSpec,
        FullAttentionSpec,
        KVCacheConfig,
        KVCacheGroupSpec,
        MambaSpec,
        SlidingWindowSpec,
    )
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request
    from vllm.v1.structured_output import StructuredOutputManager
except ImportError as problem:
    print(f"cannot load vLLM, README.md tells which packages this needs: {problem}", file=sys.stderr)
    sys.exit(2)

# What a scenario leaves out. The same values are in tests/src/scheduler.rs.
DEFAULT_SETTINGS = {
    "block_size": 16,
    "num_blocks": 1000,
    "max_num_seqs": 128,
    "max_num_batched_tokens": 2048,
    "max_model_len": 0,
    "enable_prefix_caching": True,
    "policy": "fcfs",
    "async_scheduling": False,
    "reserve_full_isl": True,
    "watermark": 0.0,
    "long_prefill_token_threshold": 0,
    "long_prefill_token_threshold_adaptive": False,
    "groups": [],
    "prefix_cache_retention_interval": 0,
}

# vLLM knows no server without a longest sequence, so this stands for none.
NO_LIMIT = 10**9

# The longest sequence of the tiny model, which the configuration is built with where a scenario has none.
MODEL_LENGTH = 131_072

# No model runs, but a configuration asks for one. The small sizes are free; the length bounds `max_model_len`.
TINY_MODEL = {
    "architectures": ["OPTForCausalLM"],
    "model_type": "opt",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "ffn_dim": 128,
    "word_embed_proj_dim": 64,
    "max_position_embeddings": MODEL_LENGTH,
    "vocab_size": 5_000_000,
    "torch_dtype": "float16",
    "bos_token_id": 2,
    "eos_token_id": 2,
    "pad_token_id": 1,
}

# Token ids begin behind those with a meaning.
FIRST_TOKEN = 1000

# More calls than this mean that a scenario never ends.
MOST_CALLS = 20_000


class CaseError(Exception):
    """A case that cannot be recorded or compared, with the reason."""


def settings_of(scenario):
    """The settings of a scenario with the default of each one that it leaves out."""
    given = scenario.get("engine", {})
    unknown = sorted(set(given) - set(DEFAULT_SETTINGS))
    if unknown:
        raise CaseError(f"unknown engine settings: {', '.join(unknown)}")
    settings = DEFAULT_SETTINGS | given
    if settings["max_model_len"] > MODEL_LENGTH:
        raise CaseError(f"max_model_len {settings['max_model_len']} is above the tiny model's {MODEL_LENGTH}")
    return settings


def require(entry, fields, what):
    """Names the fields that an entry of a scenario lacks."""
    missing = [field for field in fields if field not in entry]
    if missing:
        raise CaseError(f"{what} lacks {', '.join(missing)}")


def requests_of(scenario):
    """The requests of a scenario with a name and a first call each."""
    require(scenario, ("name", "requests"), "the scenario")
    requests = [{"id": f"r{at}", "arrival_step": 0, **request} for at, request in enumerate(scenario["requests"])]
    for request in requests:
        require(request, ("prompt", "output"), f"request {request['id']}")
    if len({request["id"] for request in requests}) < len(requests):
        raise CaseError("two requests have the same id")
    return requests


def layer_of(group, settings):
    """What vLLM is told about one layer of a group. A layer's size has no effect on decisions, so it is 1."""
    kind = group["kind"]
    is_cached = settings["enable_prefix_caching"]
    attention = {"block_size": group["block_size"], "num_kv_heads": 1, "head_size": 1, "dtype": torch.float32}
    if kind == "full":
        return FullAttentionSpec(**attention)
    if kind == "sliding":
        return SlidingWindowSpec(**attention, sliding_window=group["reach"])
    if kind == "chunked":
        return ChunkedLocalAttentionSpec(**attention, attention_chunk_size=group["reach"])
    if kind == "state":
        # Without prefix caching one block holds the state of a whole sequence.
        grid = group.get("checkpoint_grid", 0) if is_cached else 0
        return MambaSpec(
            block_size=group["block_size"] if is_cached else settings["max_model_len"] or MODEL_LENGTH,
            shapes=((1,),),
            dtypes=(torch.float32,),
            mamba_cache_mode="align" if is_cached else "none",
            num_prefill_checkpoint_blocks=1 if grid else 0,
            prefill_checkpoint_alignment=grid or None,
        )
    raise CaseError(f"unknown kind of group: {kind}")


def configuration_of(settings, groups, model_folder):
    """vLLM's configuration for the settings of a scenario.

    Building it checks and changes values for the sake of a model and a device, which are not there.
    So what a scenario says is set again afterwards.
    """
    length = settings["max_model_len"] or MODEL_LENGTH
    model = ModelConfig(
        model=str(model_folder),
        tokenizer=str(model_folder),
        skip_tokenizer_init=True,
        dtype="float16",
        max_model_len=length,
    )
    scheduling = SchedulerConfig(
        # Building refuses more sequences than tokens in a step; scenarios may have them.
        max_num_seqs=1,
        max_num_batched_tokens=settings["max_num_batched_tokens"],
        max_model_len=length,
        long_prefill_token_threshold=settings["long_prefill_token_threshold"],
        enable_chunked_prefill=True,
        is_encoder_decoder=False,
        policy=settings["policy"],
        async_scheduling=settings["async_scheduling"],
    )
    state_sizes = [group["block_size"] for group in groups if group["kind"] == "state"]
    block_size = (state_sizes or [groups[0]["block_size"]])[0]
    cache = CacheConfig(block_size=block_size, enable_prefix_caching=settings["enable_prefix_caching"])
    configuration = VllmConfig(scheduler_config=scheduling, model_config=model, cache_config=cache)

    cache = configuration.cache_config
    cache.block_size = block_size
    cache.num_gpu_blocks = settings["num_blocks"]
    cache.enable_prefix_caching = settings["enable_prefix_caching"]
    cache.mamba_cache_mode = "align" if state_sizes and settings["enable_prefix_caching"] else "none"
    scheduling = configuration.scheduler_config
    for name in (
        "max_num_seqs",
        "max_num_batched_tokens",
        "async_scheduling",
        "watermark",
        "long_prefill_token_threshold",
        "long_prefill_token_threshold_adaptive",
    ):
        setattr(scheduling, name, settings[name])
    scheduling.scheduler_reserve_full_isl = settings["reserve_full_isl"]
    # None is "as many as max_num_batched_tokens".
    scheduling.max_num_scheduled_tokens = None
    return configuration


def scheduler_of(settings, model_folder):
    """A scheduler with the settings of a scenario, and the tokens to which it gives one key."""
    groups = settings["groups"] or [{"kind": "full", "block_size": settings["block_size"], "count": 1}]
    for group in groups:
        require(group, ("kind", "block_size", "count"), "a group")
        if group["kind"] in ("sliding", "chunked"):
            require(group, ("reach",), f"a group of kind {group['kind']}")
    configuration = configuration_of(settings, groups, model_folder)
    layers = [layer_of(group, settings) for group in groups for _ in range(group["count"])]
    cache = KVCacheConfig(
        num_blocks=settings["num_blocks"],
        kv_cache_tensors=[],
        kv_cache_groups=[KVCacheGroupSpec([f"layer{number}"], layer) for number, layer in enumerate(layers)],
    )
    cache.prefix_cache_retention_interval = settings["prefix_cache_retention_interval"]
    block_size, key_size = resolve_kv_cache_block_sizes(cache, configuration)
    scheduler_class = AsyncScheduler if settings["async_scheduling"] else Scheduler
    scheduler = scheduler_class(
        vllm_config=configuration,
        kv_cache_config=cache,
        log_stats=True,
        block_size=block_size,
        hash_block_size=key_size,
        structured_output_manager=StructuredOutputManager(configuration),
    )
    if settings["max_model_len"] == 0:
        scheduler.max_model_len = NO_LIMIT
        scheduler.kv_cache_manager.max_model_len = NO_LIMIT
    return scheduler, key_size


class Tokens:
    """Token ids for segments: the same name and place are the same token, and all others differ."""

    def __init__(self):
        self.numbers = {}

    def token(self, segment, place):
        """The token at a place of a segment."""
        return self.numbers.setdefault((segment, place), FIRST_TOKEN + len(self.numbers))

    def prompt(self, parts):
        """The tokens of a prompt. A segment `name@first` is cut in front."""
        tokens = []
        for name, length in parts:
            segment, _, first = str(name).partition("@")
            start = int(first or 0)
            tokens += [self.token(segment, start + place) for place in range(length)]
        return tokens


class Recorder:
    """Plays one scenario to a scheduler and keeps what it decides."""

    def __init__(self, scenario, model_folder):
        self.scenario = scenario
        self.settings = settings_of(scenario)
        requests = requests_of(scenario)
        try:
            self.scheduler, key_size = scheduler_of(self.settings, model_folder)
        except (AssertionError, ValueError) as problem:
            raise CaseError(f"vLLM refuses the settings: {problem}") from problem
        init_none_hash(sha256)
        self.hasher = get_request_block_hasher(key_size, sha256)
        self.tokens = Tokens()
        self.of_id = {request["id"]: request for request in requests}
        # Whoever arrives with others stands where the scenario lists it.
        self.arriving = sorted(requests, key=lambda request: request["arrival_step"])
        self.num_arrived = 0
        # Steps whose output was not processed, oldest first, each with who gets a token by it.
        self.planned = []
        # Answer tokens by request: planned ones and delivered ones.
        self.answers = dict.fromkeys(self.of_id, 0)
        self.delivered = dict.fromkeys(self.of_id, 0)
        self.most_computed = dict.fromkeys(self.of_id, 0)
        self.first_and_last = {name: [None, None] for name in self.of_id}
        self.victims = []
        self.steps = []
        self.totals = dict.fromkeys(
            (
                "steps",
                "scheduled_tokens",
                "preemptions",
                "hit_tokens",
                "hit_tokens_after_preemption",
                "recomputed_tokens",
                "cache_queries",
                "cache_hits",
                "cache_preempted_queries",
                "cache_preempted_hits",
            ),
            0,
        )
        self.listen()

    def listen(self):
        """Learns of victims in their order and of cache statistics, of which a step's output says nothing."""
        preempt = self.scheduler._preempt_request
        manager = self.scheduler.kv_cache_manager
        count = manager.record_prefix_cache_stats

        def heard_preempt(request, *others, **named):
            self.victims.append(request.request_id)
            return preempt(request, *others, **named)

        def heard_count(request, num_hits):
            if self.settings["enable_prefix_caching"]:
                prefix = "cache_preempted" if request.num_preemptions > 0 else "cache"
                self.totals[f"{prefix}_queries"] += request.num_tokens
                self.totals[f"{prefix}_hits"] += num_hits
            return count(request, num_hits)

        self.scheduler._preempt_request = heard_preempt
        manager.record_prefix_cache_stats = heard_count

    def record(self):
        """The recording of the whole scenario."""
        for call in range(MOST_CALLS):
            self.let_arrive(call)
            if not (self.arriving or self.scheduler.requests or self.planned):
                return self.recording()
            self.make_call(call)
        raise CaseError(f"it has not ended after {MOST_CALLS} calls")

    def recording(self):
        """What was recorded so far, in the form of a file."""
        return {
            "name": self.scenario["name"],
            "vllm": vllm.__version__.partition("+")[0],
            "totals": self.totals,
            "first_token_and_last_step": self.first_and_last,
            "steps": self.steps,
        }

    def let_arrive(self, call):
        """Hands over who arrives before a call."""
        while self.arriving and self.arriving[0]["arrival_step"] <= call:
            request = self.arriving.pop(0)
            self.scheduler.add_request(
                Request(
                    request_id=request["id"],
                    prompt_token_ids=self.tokens.prompt(request["prompt"]),
                    sampling_params=SamplingParams(max_tokens=request["output"], ignore_eos=True),
                    pooling_params=None,
                    priority=request.get("priority", 0),
                    # Only the order counts.
                    arrival_time=float(self.num_arrived),
                    block_hasher=self.hasher,
                )
            )
            self.num_arrived += 1

    def make_call(self, call):
        """One call of the scheduler, and processing the output that is due after it."""
        self.victims = []
        output = self.scheduler.schedule()
        step = self.describe(call, output)
        self.count(step)
        samples = [name for name in output.num_scheduled_tokens if not self.scheduler.requests[name].is_prefill_chunk]
        self.plan_answers(call, samples)
        self.planned.append((output, samples))
        is_empty = not any(planned.num_scheduled_tokens for planned, _ in self.planned)
        is_resting = is_empty and not step["preempted"]
        # Nobody waits for the device when nothing runs; else one step stays ahead with asynchronous scheduling.
        num_ahead = 1 if self.settings["async_scheduling"] and not is_resting else 0
        while len(self.planned) > num_ahead:
            step["finished"] += self.process(*self.planned.pop(0))
        step["free_after"] = self.num_free_blocks()
        if step["scheduled"] or step["finished"] or step["preempted"]:
            self.steps.append(step)
        if is_resting and self.scheduler.requests and not self.arriving:
            raise CaseError(f"nobody can be scheduled from call {call} on")

    def num_free_blocks(self):
        """Blocks that nobody holds, whether they have a key or not."""
        return self.scheduler.kv_cache_manager.block_pool.get_num_free_blocks()

    def describe(self, call, output):
        """What a call decided, as recorded."""
        cached = output.scheduled_cached_reqs
        new = {request.req_id: request.num_computed_tokens for request in output.scheduled_new_reqs}
        known = dict(zip(cached.req_ids, cached.num_computed_tokens))
        computed = new | known
        batch = output.num_scheduled_tokens
        free = self.num_free_blocks()
        return {
            "step": call,
            "scheduled": [[name, tokens, computed[name]] for name, tokens in batch.items()],
            "admitted": [[name, new[name]] for name in batch if name in new],
            "resumed": [[name, known[name]] for name in batch if name in cached.resumed_req_ids],
            "preempted": list(self.victims),
            "running": len(self.scheduler.running),
            "waiting": len(self.scheduler.waiting) + len(self.scheduler.kv_holding_waiting),
            "free": free,
            # The server keeps one block for itself.
            "used": self.settings["num_blocks"] - 1 - free,
            "finished": [],
            "free_after": None,
        }

    def count(self, step):
        """Adds a call to the totals."""
        totals = self.totals
        totals["steps"] += bool(step["scheduled"])
        totals["preemptions"] += len(step["preempted"])
        totals["hit_tokens"] += sum(tokens for _, tokens in step["admitted"])
        totals["hit_tokens_after_preemption"] += sum(tokens for _, tokens in step["resumed"])
        for name, tokens, computed in step["scheduled"]:
            end = computed + tokens
            totals["scheduled_tokens"] += tokens
            totals["recomputed_tokens"] += max(0, min(end, self.most_computed[name]) - computed)
            self.most_computed[name] = max(end, self.most_computed[name])

    def plan_answers(self, call, samples):
        """Notes in which call the first and the last answer token of a request are planned."""
        longest = self.settings["max_model_len"] or NO_LIMIT
        for name in samples:
            self.answers[name] += 1
            first_and_last = self.first_and_last[name]
            if first_and_last[0] is None:
                first_and_last[0] = call
            length = self.scheduler.requests[name].num_prompt_tokens + self.answers[name]
            if self.answers[name] >= self.of_id[name]["output"] or length >= longest:
                first_and_last[1] = call

    def process(self, output, samples):
        """Hands the tokens of a step to the scheduler, and returns who has finished by them."""
        names = list(output.num_scheduled_tokens)
        present = [name for name in names if name in self.scheduler.requests]
        sampled = []
        for name in names:
            sampled.append([])
            if name in samples:
                sampled[-1].append(self.tokens.token(f"answer:{name}", self.delivered[name]))
                self.delivered[name] += 1
        result = ModelRunnerOutput(
            req_ids=names,
            req_id_to_index={name: at for at, name in enumerate(names)},
            sampled_token_ids=sampled,
            logprobs=None,
            prompt_logprobs_dict={},
            pooler_output=[],
        )
        self.scheduler.update_from_output(output, result)
        return [name for name in present if name not in self.scheduler.requests]


def text_of(recording):
    """A recording as the text of its file: a line for each field and for each step."""
    fields = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in recording.items() if name != "steps"]
    steps = ",\n ".join(json.dumps(step) for step in recording["steps"])
    return "{" + ",\n ".join(fields) + f",\n \"steps\": [\n {steps}\n]}}\n"


def difference(expected, recording):
    """The first difference of a recording from the expected one, or None.

    All fields that the expected one has are compared.
    The release is not: a case made by rules says so there, though the scheduler may decide the same.
    """
    for wanted, got in zip(expected["steps"], recording["steps"]):
        for field, value in wanted.items():
            if got.get(field) != value:
                return f"step {wanted['step']}, {field}: expected {json.dumps(value)}, got {json.dumps(got.get(field))}"
    if len(expected["steps"]) != len(recording["steps"]):
        return f"steps: expected {len(expected['steps'])}, got {len(recording['steps'])}"
    for part in ("totals", "first_token_and_last_step"):
        for field, value in expected[part].items():
            got = recording[part].get(field)
            if got != value:
                return f"{part}, {field}: expected {json.dumps(value)}, got {json.dumps(got)}"
    return None


def read(path):
    """The JSON of a file."""
    try:
        return json.loads(path.read_text())
    except OSError as problem:
        raise CaseError(f"cannot read {path}: {problem.strerror}") from problem
    except ValueError as problem:
        raise CaseError(f"{path} is no JSON: {problem}") from problem


def arguments():
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="Records what vLLM's own scheduler decides.")
    parser.add_argument("--check", action="store_true", help="compare with the folder `expected` beside the scenarios")
    parser.add_argument("scenarios", metavar="SCENARIOS_FOLDER", type=Path)
    parser.add_argument("out", metavar="OUT_FOLDER", type=Path)
    parser.add_argument("cases", metavar="CASE", nargs="*", help="a file's name without .json; all if none is given")
    asked = parser.parse_args()
    asked.expected = asked.scenarios.resolve().parent / "expected"
    if asked.check and asked.out.resolve() == asked.expected:
        parser.error("--check would overwrite what it compares with")
    there = sorted(path.stem for path in asked.scenarios.glob("*.json"))
    asked.cases = asked.cases or there
    unknown = sorted(set(asked.cases) - set(there))
    if unknown:
        parser.error(f"{asked.scenarios} has no scenario {', '.join(unknown)}")
    if not there:
        parser.error(f"{asked.scenarios} has no scenarios")
    return asked


def main():
    """Records the cases that were asked for, and returns the exit status."""
    asked = arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    num_different, num_failed = 0, 0
    with tempfile.TemporaryDirectory() as model_folder:
        (Path(model_folder) / "config.json").write_text(json.dumps(TINY_MODEL))
        for case in asked.cases:
            try:
                recording = Recorder(read(asked.scenarios / f"{case}.json"), model_folder).record()
                (asked.out / f"{case}.json").write_text(text_of(recording))
                verdict = "recorded"
                if asked.check:
                    found = difference(read(asked.expected / f"{case}.json"), recording)
                    num_different += found is not None
                    verdict = found or "equal"
            except CaseError as problem:
                num_failed += 1
                verdict = f"error: {problem}"
            print(f"{case}: {verdict}", flush=True)
    return 2 if num_failed else int(num_different > 0)


if __name__ == "__main__":
    sys.exit(main())
