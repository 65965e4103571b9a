"""Every option of every verb is used or refused, in one form, and shown in the help."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from isocline.cli import main
from isocline.cli._options import Option
from tests.cli.effects import effect
from tests.cli.verbs import verbs

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], prog_name="isocline")


OPTIONS = [
    (verb, parameter)
    for verb, command in verbs().items()
    for parameter in command.params
    if isinstance(parameter, click.Option)
]
NAMES = [f"{verb} {option.opts[0]}" for verb, option in OPTIONS]

# A command line on which each option has an effect; "|" parts the option from the rest.
SHORT = "--policy gmsr --horizon 200 --warmup 20 --replications 2 --json"
ROUTING = f"simulate n_model.yaml {SHORT}"
FEW = "--policy local_first --horizon 600 --warmup 100 --replications 2 --json"
CLUSTER = f"simulate small_cluster.yaml {FEW}"
OTHER = "--policy jsq_maxweight --policy local_first"
RATE, TRACE = "load http://h:1 --rate 9 --duration 3", "load http://h:1 --trace bursty"
CACHED = "simulate CACHES --trace PROMPTS --policy gmsr --replications 2 --json"
LOG = "--trace LOG --trace-columns time=time,work=work"
MEASURE = "measure http://h:1"
CURVE = 'backend --curve {"type":"hyperbolic","peak":4,"half":2}'
RUN = "run word_count.yaml --results DIR/results"
FLEET_VERB = "fleet MACHINES --target mean<=2s"
REPORT = "report n_model.yaml -o DIR/page.html"
AUDIT = "audit REQUESTS --policy jsq --draws 3 --json"
LINES = {
    "audit --format": f"{AUDIT} | --format $msec,$request_time,$upstream_addr",
    "audit --edges": f"{AUDIT} | --edges *=*",
    "audit --system": f"{AUDIT} | --system AUDITED",
    "audit --policy": f"{AUDIT} | --policy random",
    "audit --draws": f"{AUDIT} | --draws 4",
    "audit --seed": f"{AUDIT} | --seed 1",
    "simulate --policy": f"{ROUTING} | --policy random",
    "simulate --layers": f"simulate layers.yaml {SHORT} | --layers jsq",
    "simulate --engine": f"{ROUTING} | --engine dask",
    "simulate --address": f"{ROUTING} --engine dask | --address 127.0.0.1:9",
    "simulate --learn": f"{ROUTING} | --learn",
    "simulate --half-life": f"{ROUTING} --learn | --half-life 20",
    "simulate --trace": f"{ROUTING} | {LOG}",
    "simulate --trace-format": f"{ROUTING} --trace LOG | --trace-format azure",
    "simulate --trace-columns": f"{ROUTING} --trace LOG | --trace-columns time=time,work=work",
    "simulate --trace-time-unit": f"{ROUTING} {LOG} | --trace-time-unit ms",
    "simulate --trace-tick": f"{CACHED} | --trace-tick 3",
    "simulate --cache-knowledge": f"{CACHED} | --cache-knowledge none",
    "simulate --output-lengths": f"{CACHED} | --output-lengths known",
    "simulate --eviction": f"simulate MODELS {SHORT} | --eviction lru",
    "simulate --replicas": f"{CLUSTER} --trace JOBS | --replicas 1",
    "simulate --busiest": f"{CLUSTER} --trace JOBS | --busiest 1200",
    "simulate --arrivals": f"{ROUTING} | --arrivals gamma:cv=2",
    "simulate --time-scale": f"{ROUTING} | --time-scale 1.3",
    "simulate --load": f"{ROUTING} | --load 0.6",
    "simulate --patience": f"{ROUTING} --time-scale 1.3 | --patience exponential:mean=30",
    "simulate --deadline": f"{ROUTING} | --deadline 2",
    "simulate --horizon": f"{ROUTING} | --horizon 180",
    "simulate --warmup": f"{ROUTING} | --warmup 30",
    "simulate --start": f"{ROUTING} | --start fluid",
    "simulate --replications": f"{ROUTING} | --replications 3",
    "simulate --precision": f"{ROUTING} | --precision 0.1",
    "simulate --means-only": f"{ROUTING} | --means-only",
    "simulate --seed": f"{ROUTING} | --seed 1",
    "simulate --budget": f"{ROUTING} | --budget 100",
    "simulate --threads": f"{ROUTING} | --threads 1",
    "simulate --clock": f"{ROUTING} | --clock slotted",
    "simulate --slot": f"{ROUTING} --clock slotted | --slot 0.3",
    "simulate --departures": f"{ROUTING} --clock slotted | --departures poisson",
    "simulate --discipline": f"simulate SERVERS {SHORT} --horizon 2000 | --discipline fcfs",
    "simulate --level": f"{CLUSTER} | --level queue",
    "simulate --scale": f"{ROUTING} | --scale 2",
    "simulate --delay": f"{ROUTING} | --delay travel=0.5",
    "simulate --slowdown": f"{ROUTING} | --slowdown b1=2@60",
    "simulate --then": f"{ROUTING} | --then 80=SERVERS",
    "simulate --failure": f"{ROUTING} | --failure b2@90",
    "curves --from": "curves RESULTS | --from",
    "curves --unit": "curves RESULTS --from | --unit tokens",
    "curves --curve": "curves RESULTS --from | --curve a",
    "simulate --add": f"{ROUTING} | --add b1",
    "simulate --remove": f"{ROUTING} | --remove f1",
    "simulate --rate": f"{ROUTING} | --rate f1=0.3",
    "simulate --write": f"{ROUTING} --add b1 | --write DIR/after.yaml",
    "plan --write": "plan n_model.yaml --add b1 | --write DIR/after.yaml",
    "plan --compare": "plan pigou.yaml | --compare",
    "plan --add": "plan n_model.yaml | --add b1",
    "plan --remove": "plan n_model.yaml | --remove f1",
    "plan --rate": "plan n_model.yaml | --rate x1.1",
    "fleet --target": f"{FLEET_VERB} --fluid-only | --target mean<=3s",
    "fleet --spare": f"{FLEET_VERB} --fluid-only | --spare 1",
    "fleet --spare-target": f"{FLEET_VERB} --fluid-only --spare 1 | --spare-target load<=1",
    "fleet --policy": f"{FLEET_VERB} --replications 2 | --policy jsq",
    "fleet --fluid-only": f"{FLEET_VERB} | --fluid-only",
    "fleet --replications": f"{FLEET_VERB} --replications 2 | --replications 3",
    "fleet --seed": f"{FLEET_VERB} --replications 2 | --seed 1",
    "fleet --gap": f"{FLEET_VERB} --fluid-only | --gap 0.4",
    "fluid --start": "fluid n_model.yaml --horizon 9 --step 1 | --start b1=5",
    "fluid --horizon": "fluid n_model.yaml | --horizon 9",
    "fluid --step": "fluid n_model.yaml --horizon 9 | --step 3",
    "fluid --tolerance": "fluid n_model.yaml --horizon 9 --step 1 | --tolerance 0.1",
    "fluid --policy": "fluid n_model.yaml --horizon 9 --step 1 | --policy gmsr_secant",
    "fluid --budget": "fluid n_model.yaml --horizon 9 --step 1 | --budget 3",
    "fluid --then": "fluid n_model.yaml --horizon 9 --step 1 | --then 3=FLEET",
    "replay --policy": "replay n_model.yaml --decisions 50 | --policy jsq",
    "replay --decisions": "replay n_model.yaml --decisions 50 | --decisions 60",
    "replay --seed": "replay n_model.yaml --decisions 50 --policy random | --seed 1",
    "reproduce --out": "reproduce gmsr-tiers --quick --out DIR/a | --out DIR",
    "reproduce --dark": "reproduce gmsr-tiers --quick --out DIR | --dark",
    "reproduce --quick": "reproduce gmsr-tiers --out DIR | --quick",
    "reproduce --engine": "reproduce gmsr-tiers --quick --out DIR | --engine dask",
    "reproduce --address": "reproduce gmsr-tiers --engine dask --out DIR | --address 127.0.0.1:9",
    "reproduce --trace": "reproduce arena --quick --out DIR | --trace PROMPTS",
    "reproduce --seed": "reproduce gmsr-tiers --quick --out DIR | --seed 1",
    "reproduce --json": "reproduce | --json",
    "demo --fleet": "demo | --fleet a",
    "demo --load": "demo | --load 0.5",
    "demo --policy": "demo | --policy jsq",
    "demo --seconds": "demo | --seconds 4",
    "demo --speed": "demo | --speed 1",
    "demo --seed": "demo | --seed 1",
    "serve --listen": "serve n_model.yaml | --listen 127.0.0.1:9",
    "serve --policy": "serve n_model.yaml | --policy jsq",
    "serve --plane": "serve n_model.yaml | --plane picker",
    "serve --workers": "serve n_model.yaml | --workers 2",
    "serve --admin": "serve n_model.yaml | --admin 127.0.0.1:9",
    "serve --access-log": "serve n_model.yaml | --access-log",
    "serve --log-format": "serve n_model.yaml | --log-format json",
    "serve --envoy": "serve n_model.yaml --plane envoy | --envoy /bin/true",
    "serve --check": "serve serve.yaml | --check",
    "serve --json": "serve serve.yaml --check | --json",
    "load --rate": f"{RATE} | --rate 8",
    "load --trace": "load http://h:1 | --trace bursty",
    "load --trace-format": "load http://h:1 --trace LOG | --trace-format azure",
    "load --trace-columns": "load http://h:1 --trace LOG | --trace-columns time=time,work=work",
    "load --trace-time-unit": f"load http://h:1 {LOG} | --trace-time-unit ms",
    "load --trace-tick": "load http://h:1 --trace PROMPTS | --trace-tick 3",
    "load --time-scale": f"{TRACE} | --time-scale 2",
    "load --duration": f"{RATE} | --duration 2",
    "load --warmup": f"{RATE} | --warmup 1",
    "load --seed": f"{RATE} | --seed 1",
    "load --streams": f"{RATE} | --streams",
    "load --model": f"{RATE} | --model m",
    "load --prompt-tokens": f"{RATE} | --prompt-tokens 9",
    "load --output-tokens": f"{RATE} | --output-tokens 9",
    "load --header": f"{RATE} | --header a:b",
    "load --connections": f"{RATE} | --connections 9",
    "load --timeout": f"{RATE} | --timeout 9",
    "load --workers": f"{RATE} | --workers 2",
    "measure --most": f"{MEASURE} | --most 8",
    "measure --precision": f"{MEASURE} | --precision 0.1",
    "measure --limit": f"{MEASURE} | --limit 90s",
    "measure --unit": f"{MEASURE} | --unit tokens",
    "measure --streams": f"{MEASURE} | --streams",
    "measure --model": f"{MEASURE} | --model m",
    "measure --prompt-tokens": f"{MEASURE} | --prompt-tokens 9",
    "measure --output-tokens": f"{MEASURE} | --output-tokens 9",
    "measure --ignore-eos": f"{MEASURE} | --ignore-eos",
    "measure --trace": f"{MEASURE} | --trace bursty",
    "measure --trace-format": f"{MEASURE} --trace LOG | --trace-format azure",
    "measure --trace-columns": f"{MEASURE} --trace LOG | --trace-columns time=time,work=work",
    "measure --seed": f"{MEASURE} --trace bursty | --seed 1",
    "measure --header": f"{MEASURE} | --header a:b",
    "measure --key-env": f"{MEASURE} | --key-env PATH",
    "measure --key-file": f"{MEASURE} | --key-file KEY",
    "measure --timeout": f"{MEASURE} | --timeout 9",
    "backend --curve": CURVE.replace("{", "| --curve {").replace(
        "backend --curve", 'backend --unit jobs --curve {"type":"servers","rate":1,"count":1}'
    ),
    "backend --unit": f"{CURVE} | --unit jobs",
    "backend --prefill": f"{CURVE} | --prefill 0.5",
    "backend --decode": f"{CURVE} | --decode 2",
    "backend --cache-tokens": f"{CURVE} --prefill 0.5 | --cache-tokens 4096",
    "backend --block-size": f"{CURVE} --prefill 0.5 --cache-tokens 4096 | --block-size 32",
    "backend --models": f'{CURVE} | --models [{{"name":"m"}}]',
    "backend --memory": f'{CURVE} --models [{{"name":"m"}}] | --memory 2',
    "backend --on-demand": f'{CURVE} --models [{{"name":"m"}}] | --on-demand',
    "backend --sizes": f"{CURVE} | --sizes exponential",
    "backend --max-num-seqs": f"{CURVE} | --max-num-seqs 2",
    "backend --seed": f"{CURVE} | --seed 1",
    "backend --listen": f"{CURVE} | --listen 127.0.0.1:9",
    "backend --model": f"{CURVE} | --model m",
    "backend --output-tokens": f"{CURVE} | --output-tokens 9",
    "backend --max-model-len": f"{CURVE} | --max-model-len 9",
    "backend --orca": f"{CURVE} | --orca json",
    "backend --orca-counts": f"{CURVE} | --orca-counts all",
    "backend --fault": f"{CURVE} | --fault error=0.5",
    "run --engine": f"{RUN} | --engine ray",
    "run --address": f"{RUN} --engine ray | --address 127.0.0.1:9",
    "run --workers": f"{RUN} | --workers 2",
    "run --locations": f"{RUN} | --locations ring:n0,n1",
    "run --policy": f"{RUN} | --policy fifo",
    "run --copies": f"{RUN} | --copies",
    "run --journal": f"{RUN} | --journal DIR/journal",
    "run --resume": f"{RUN} --journal DIR/journal | --resume",
    "run --log-format": f"{RUN} | --log-format json",
    "load --log-format": f"{RATE} | --log-format json",
    "run --page": f"{RUN} | --page 0",
    "run --results": "run word_count.yaml | --results DIR/results",
    "warm --options": "warm simulate | --options",
    "control --wait": "control h:1 drain a | --wait",
    "control --timeout": "control h:1 drain a --wait | --timeout 3",
    "control --force": "control h:1 drain a | --force",
    "control --key-file": "control h:1 drain a | --key-file KEY",
    "discover --assume": "discover DISCOVERS | --assume 3",
    "report --output": f"{REPORT} | --output DIR/other.html",
    "report --policy": f"{REPORT} | --policy jsq",
    "report --load": f"{REPORT} | --load 0.4",
    "report --replications": f"{REPORT} | --replications 4",
    "report --seconds": f"{REPORT} | --seconds 9",
    "report --quick": f"{REPORT} | --quick",
    "report --seed": f"{REPORT} | --seed 1",
}
# How verbs that have them are called for `--json`, `--out` and `--dark`.
PRINTING = {
    "audit": AUDIT.removesuffix(" --json"),
    "simulate": ROUTING.removesuffix(" --json"),
    "plan": "plan n_model.yaml",
    "curves": "curves n_model.yaml",
    "fleet": f"{FLEET_VERB} --fluid-only",
    "fluid": "fluid n_model.yaml --horizon 9 --step 1",
    "policies": "policies",
    "replay": "replay n_model.yaml --decisions 50",
    "demo": "demo",
    "load": RATE,
    "measure": MEASURE,
    "run": RUN,
    "warm": "warm plan",
    "control": "control h:1",
    "discover": "discover DISCOVERS",
    "report": REPORT,
}
for verb, line in PRINTING.items():
    for name, given in (
        ("json", "| --json"),
        ("out", "| --out DIR"),
        ("dark", "--out DIR | --dark"),
    ):
        if f"{verb} --{name}" in NAMES:
            LINES[f"{verb} --{name}"] = f"{line} {given}"

SERVERS = """\
kind: routing
backends: [{name: b1, curve: {type: servers, rate: 1, count: 2}}, {name: b2, curve: {type: servers, rate: 1, count: 1}}]
frontends: [{name: f1, rate: 0.7, backends: [b1]}, {name: f2, rate: 0.7, backends: [b1, b2]}]
"""  # noqa: E501
CACHES = """\
kind: routing
work: {unit: tokens, mean: 1, prefill: 1.0, decode: 1.0}
prefix_cache: {tokens: 60000, block_size: 512}
backends:
- {name: b1, curve: {type: hyperbolic, peak: 900, half: 2}}
- {name: b2, curve: {type: hyperbolic, peak: 400, half: 2}}
frontends: [{name: f1, rate: 1, backends: [b1, b2]}]
"""
MODELS = """\
kind: routing
models: [{name: "lora-*", count: 9, load: 0.5}]
backends:
- {name: b1, curve: {type: hyperbolic, peak: 9, half: 2}, memory: 4}
- {name: b2, curve: {type: hyperbolic, peak: 4, half: 2}, memory: 4}
frontends: [{name: f1, rate: 2, backends: [b1, b2]}]
"""
DISCOVERS = """\
kind: routing
discover:
- name: list
  files: {paths: TARGETS}
  templates: [{report: none, frontends: [all], curve: {type: hyperbolic, peak: 10, half: 2}}]
frontends: [{name: all, rate: 3}]
"""
RESULTS = "name,concurrency,rate,tokens_per_second\na,1,2,20\na,2,3,31\nb,1,5,52\nb,2,8,80\n"
MACHINES = """\
kind: fleet
types:
- {name: big, price: 3.7, curve: {type: hyperbolic, peak: 9, half: 6}}
- {name: small, price: 1.0, curve: {type: hyperbolic, peak: 2, half: 2}}
frontends: [{name: f1, rate: 12.3, types: [big, small]}, {name: f2, rate: 1, types: [small]}]
"""
FLEET = SERVERS.replace("servers, rate: 1, count", "hyperbolic, peak: 3, half")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The inputs that are no examples, by the words that stand for them."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = [f"{0.5 * i},{1 + i % 3}\n" for i in range(400)]
    prompts = [
        f'{{"timestamp": {3000 * (i // 3)}, "input_length": 900, '
        f'"output_length": {1 + 99 * (i % 7)}, "hash_ids": [{i % 5}, {10 + i % 5}]}}\n'
        for i in range(60)
    ]
    block = 128 * 2**20
    jobs = [f"job{i}\t{30 * i}\t30\t{(i % 5) * block}\t0\t0\tp{i % 7}\n" for i in range(200)]
    requests = [f"{0.05 * i + 0.13 * (i % 3):.3f},0.1{i % 7}0,{'abb'[i % 3]}\n" for i in range(400)]
    texts = {
        "REQUESTS": "msec,request_time,upstream_addr\n" + "".join(requests),
        "AUDITED": SERVERS.replace("b1", "a").replace("b2", "b").replace("f1", "/"),
        "LOG": "time,work\n" + "".join(rows),
        "JOBS": "".join(jobs),
        "SERVERS": SERVERS,
        "CACHES": CACHES,
        "MODELS": MODELS,
        "PROMPTS": "".join(prompts),
        "FLEET": FLEET,
        "RESULTS": RESULTS,
        "MACHINES": MACHINES,
        "KEY": "ann s3cret\n",
        "DISCOVERS": DISCOVERS,
        "TARGETS": '[{"targets": ["10.0.0.1:80"]}]',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in texts}


def words(line: str, files: dict[str, str]) -> list[str]:
    """A command line with paths in place of names."""
    for name, path in files.items():
        line = re.sub(rf"\b{name}\b", path, line)
    return [
        str(EXAMPLES / word) if word.endswith(".yaml") and "=" not in word else word
        for word in line.split()
    ]


def test_every_option_has_a_line_on_which_it_counts() -> None:
    assert sorted(LINES) == sorted(NAMES)


# Which change nothing but how long it takes.
SILENT = {"simulate --threads", "control --timeout"}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SILENT])
def test_an_option_has_an_effect(name: str, files: dict[str, str]) -> None:
    rest, _, given = LINES[name].partition(" | ")
    without, with_it = (effect(*words(line, files)) for line in (rest, f"{rest} {given}"))
    assert with_it != without
    assert "does not apply" not in without + with_it
    assert "Usage:" not in without + with_it


RULES = [(verb, one) for verb, one in OPTIONS if isinstance(one, Option)]


def line_without(verb: str, option: Option, *others: str) -> list[str]:
    """A command line with this option and these others, and what the verb requires."""
    url = ["http://h:1"]
    needed = {"load": url, "measure": url, "backend": ["--curve", "x"], "warm": [], "demo": []}
    needed["fleet"] = ["a-file", "--target", "mean<=2s"]
    value = LINES[f"{verb} {option.opts[0]}"].rpartition(" | ")[2].split()
    given = [word for other in others for word in _with_value(verb, other)]
    return [verb, *needed.get(verb, ["a-file"]), *value, *given]


def _with_value(verb: str, words: str) -> list[str]:
    """`--clock slotted` as it is, `--trace` with the value that it has among the lines."""
    if " " in words or not words.startswith("--"):
        return words.split()
    return LINES[f"{verb} {words}"].rpartition(" | ")[2].split()


@pytest.mark.parametrize(
    ("verb", "option"),
    [(verb, option) for verb, option in RULES if option.needs],
    ids=lambda one: one if isinstance(one, str) else one.opts[0],
)
def test_an_option_without_one_that_it_needs_is_refused(
    verb: str, option: Option, tmp_path: Path, files: dict[str, str]
) -> None:
    line = line_without(verb, option)
    if option.needs == "NAME":
        line.remove("a-file")
    result = run(*words(" ".join(line).replace("DIR", str(tmp_path)), files))
    assert result.exit_code == 2
    name, needed = re.escape(option.opts[0]), re.escape(str(option.needs))
    form = f"isocline: {name} does not apply without {needed}; add {needed}.*, or leave it out\n"
    assert re.fullmatch(form, result.stderr)


@pytest.mark.parametrize(
    ("verb", "option", "other"),
    [(verb, option, other) for verb, option in RULES for other in option.excludes],
    ids=lambda one: one if isinstance(one, str) else one.opts[0],
)
def test_an_option_beside_one_that_it_excludes_is_refused(
    verb: str, option: Option, other: str, files: dict[str, str]
) -> None:
    needs = [option.needs] if option.needs and option.needs not in other else []
    result = run(*words(" ".join(line_without(verb, option, *needs, other)), files))
    assert result.exit_code == 2
    said = f"{option.opts[0]} does not apply with {other}; leave one of the two out"
    assert result.stderr == f"isocline: {said}\n"


@pytest.mark.parametrize(
    ("verb", "option"),
    [(verb, option) for verb, option in RULES if option.kind],
    ids=lambda one: one if isinstance(one, str) else one.opts[0],
)
def test_an_option_for_the_other_kind_of_system_is_refused(
    verb: str, option: Option, files: dict[str, str]
) -> None:
    routing = option.kind == "routing"
    file = EXAMPLES / ("small_cluster.yaml" if routing else "n_model.yaml")
    needs = [option.needs] if option.needs else []
    line = line_without(verb, option, *needs)
    result = run(
        *(str(file) if word == "a-file" else word for word in words(" ".join(line), files))
    )
    assert result.exit_code == 2
    assert " does not apply to kind: " in result.stderr
    assert result.stderr.endswith(f"{'near-data' if routing else 'routing'}; leave it out\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("simulate n_model.yaml --layers jsq", "--layers does not apply to a system without pools"),
        (
            "simulate n_model.yaml --trace LOG --trace-format swim",
            "--trace-format swim does not apply to kind: routing; give a trace of requests",
        ),
        (
            "simulate small_cluster.yaml --trace JOBS --trace-format azure",
            "--trace-format azure does not apply to kind: near-data; give a trace of jobs",
        ),
        (
            "load http://h:1/x --rate 9 --duration 3 --model m",
            "--model does not apply to plain GET",
        ),
        ("load http://h:1/x --rate 9 --duration 3 --streams", "--streams does not apply to plain"),
        ("measure http://h:1/x --unit tokens", "--unit does not apply to plain GET"),
        ("warm plan --options", "--options does not apply without simulate; add simulate, or"),
    ],
)
def test_an_option_that_has_no_effect_on_this_input_is_refused(
    line: str, says: str, files: dict[str, str]
) -> None:
    result = run(*words(line, files))
    assert result.exit_code == 2
    assert f"isocline: {says}" in result.stderr


def test_the_help_shows_groups_and_what_options_apply_to() -> None:
    shown = run("simulate", "--help").stdout
    headings = re.findall(r"^(\w.*):$", shown, re.MULTILINE)
    assert headings == [
        "Policies",
        "Traffic",
        "Length and precision",
        "Engine",
        "Clock, service and delays",
        "Changes during the run",
        "What if",
        "Output",
    ]
    said = " ".join(shown.split())
    assert "[kind: routing; with --learn]" in said
    assert "[kind: near-data; with --trace]" in said
    few = run("fluid", "--help").stdout
    assert re.findall(r"^(\w.*):$", few, re.MULTILINE) == ["Options"]


@pytest.mark.parametrize(("verb", "option"), RULES, ids=NAMES)
def test_every_option_says_what_it_is_for(verb: str, option: Option) -> None:
    assert option.help, verb


def test_every_option_is_declared_with_what_it_applies_to() -> None:
    assert len(RULES) == len(OPTIONS)
