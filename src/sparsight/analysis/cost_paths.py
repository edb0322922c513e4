"""How the paths of benchmark files name rule and wildcards. Light: planning a study reads it."""

_PLACE = "benchmarks/{rule}/{dataset}__{model}__seed{seed}__"
#: the `benchmark:` paths of all rules, the first that fits counts; what a job has beside these
#: wildcards (a concept method, a sample pruner, a metric, an epoch) stands in the column `family`
PATTERNS = (
    f"{_PLACE}{{pruner}}__level{{level}}__{{family}}.jsonl",
    f"{_PLACE}{{pruner}}__level{{level}}.jsonl",
    f"{_PLACE}start.jsonl",
    f"{_PLACE}epoch{{family,[0-9]+}}.jsonl",
    f"{_PLACE}{{pruner}}.jsonl",
    "benchmarks/{rule,make_controls}/{dataset}__{family}.jsonl",
    "benchmarks/{rule}/{dataset}__{model}__{family}.jsonl",
    "benchmarks/{rule}/{dataset}__{model}.jsonl",
    "benchmarks/{rule}__{dataset}.jsonl",
    "benchmarks/{rule}.jsonl",
)
