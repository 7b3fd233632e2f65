"""`hyperaware policy`: a policy checked, explained on an example, and replayed over past decisions."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyperaware.cli.group import BAD_INPUTS, example
from hyperaware.cli.parameters import Concepts, Json, Role
from hyperaware.errors import ConfigError
from hyperaware.terminal import emit, screen, table

if TYPE_CHECKING:
    from hyperaware.moderation.policy import Clause, Policy, Rule

__all__ = ["app"]

app = typer.Typer(help="Policies: check, explain, replay.", no_args_is_help=True, rich_markup_mode=None)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A policy, in TOML.")]


@app.command(epilog=example("hyperaware policy check my-policy.toml"))
def check(file: File, json: Json = False) -> None:
    """Read FILE strictly, and say what each role gets.

    Whatever is not known is an error that names the key and the nearest spelling: the exit code is then 2.
    """
    from hyperaware.moderation.policy import Policy

    policy = Policy.read(file)
    if json:
        roles = {name: asdict(rule) for name, rule in policy.roles.items()}
        emit({"version": policy.version, "default_role": policy.default_role, "roles": roles})
        return
    rows = [row for name, rule in policy.roles.items() for row in _rows(name, rule)]
    table(["role", "of", "above", "action", ""], rows)
    screen().print(f"\nVersion {policy.version}. Who names no role is {policy.default_role!r}.")


def _rows(name: str, rule: "Rule") -> list[list[str]]:
    """The role's rules, each with whom it is for, its threshold, its action and its remarks."""
    shown = [] if rule.show == "all" else [["items", "the limit", "block", ""]]
    queries = [_row("queries", "the trigger", clause) for clause in (rule.own, *rule.queries)]
    items = [_row("items", "the limit", clause) for clause in rule.items]
    return [[name, *row] for row in (*queries, *shown, *items)]


def _row(what: str, bound: str, clause: "Clause") -> list[str]:
    above = bound if clause.category is None else f"{clause.category} {clause.above:g}"
    strength = f"strength {clause.strength:g}" if clause.action == "redirect" else ""
    remarks = [strength, "in shadow" if clause.shadow else "", clause.message or ""]
    return [what, above, clause.action, ", ".join(remark for remark in remarks if remark)]


@app.command(
    epilog=example(
        'hyperaware policy explain my-policy.toml --text "a deadly axe" --role viewer',
        'hyperaware policy explain my-policy.toml --text "an axe" --category violence=0.9 --json',
    )
)
def explain(
    file: File,
    text: Annotated[str, typer.Option(metavar="TEXT", help="The query to judge.")],
    role: Role = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A shipped model or a folder. [default: world-hysac-ordered]"),
    ] = None,
    concepts: Concepts = None,
    category: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=P", help="Take this for the probability of a category; may be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Judge TEXT as FILE says, and tell of every rule whether it hit, and why.

    The probabilities are the model's, but for those given by --category. A category that has none of either
    is not let through: its rules hit.
    """
    from hyperaware.catalogue import own_bounds, own_scorer
    from hyperaware.geometry.space import space_from_config
    from hyperaware.index.categories import highest
    from hyperaware.models.pretrained import DEFAULT, load
    from hyperaware.models.windows import windows
    from hyperaware.moderation.policy import Policy

    policy = Policy.read(file)
    policy.role(role)  # before the model is loaded
    given = _probabilities(category or [], policy)
    loaded = load(DEFAULT if model is None else model)
    bounds = own_bounds(loaded)
    if bounds is None:
        raise ConfigError(f"the model {loaded.name} has no root distances, so no query can be judged by it.")
    space = space_from_config(loaded.space.config())  # a learned curvature would bring its gradient along
    points = loaded.encode_text(windows(text, loaded.tokenizer))
    score = float(space.root_distance(points).max())  # as a server judges: by the most unsafe window
    categories = given
    if policy.categories - set(given):
        categories = {**highest(own_scorer(loaded, concepts=concepts)(points, "text")), **given}
    bound = bounds.trigger["text"]
    verdict = policy.judge(score, modality="text", bounds=bounds, role=role, categories=categories)
    findings = policy.findings(score, bound=bound, modality="text", role=role, categories=categories)
    if json:
        rules = [{**asdict(each.clause), "hit": each.hit, "why": each.why} for each in findings]
        emit({"text": text, "model": loaded.name, "verdict": asdict(verdict), "rules": rules})
        return
    rows = [
        [
            "hit" if finding.hit else "-",
            finding.clause.action + (" (in shadow)" if finding.clause.shadow else ""),
            finding.why,
        ]
        for finding in findings
    ]
    table(["", "action", "why"], rows)
    screen().print(f"\n{verdict.action}: {verdict.reason}", style="bold", soft_wrap=True)
    if verdict.message is not None:
        screen().print(f"The user is told: {verdict.message}", soft_wrap=True)
    if verdict.shadow is not None:
        screen().print(f"The rules in shadow would have done: {verdict.shadow}")


def _probabilities(words: Iterable[str], policy: "Policy") -> dict[str, float]:
    from hyperaware.moderation.rules import is_probability
    from hyperaware.options import parse_assignments, unknown_name

    found = {}
    for name, word in parse_assignments(words).items():
        if name not in policy.categories:
            raise unknown_name("category of the policy", name, policy.categories)
        try:
            found[name] = float(word)
        except ValueError:
            raise ConfigError(f"{name}={word}: expected a probability such as 0.8.") from None
        if not is_probability(found[name]):
            raise ConfigError(f"{name}={word}: expected a probability from 0 to 1.")
    return found


@app.command(epilog=example("hyperaware policy replay my-policy.toml --log audit.jsonl"))
def replay(
    file: File,
    log: Annotated[Path, typer.Option(metavar="AUDIT.jsonl", help="The audit log of a server.")],
    json: Json = False,
) -> None:
    """Judge the decisions of an audit log again, as FILE says: what would change, counted and line by line.

    Each decision is judged by the score, the bound and the probabilities that it was made by. One that FILE
    gives no verdict on, of a role that it does not know, say, is refused: the exit code is then 3.
    """
    from hyperaware.moderation import replay as replays
    from hyperaware.moderation.policy import Policy
    from hyperaware.records.chain import records

    policy = Policy.read(file)
    decisions = ((each.seq, each.fields) for each in records(log) if each.event == "decision")
    found = replays.replay(policy, decisions)
    if json:
        emit(
            {
                "version": policy.version,
                "decisions": found.before.total(),
                "before": dict(found.before),
                "after": dict(found.after),
                "changes": [change._asdict() for change in found.changes],
            }
        )
    else:
        actions = sorted(found.before | found.after)
        table(
            ["action", "before", "after"], [[a, str(found.before[a]), str(found.after[a])] for a in actions]
        )
        if found.changes:
            screen().print()
            rows = [[str(c.seq), c.role, c.before, c.after, c.reason] for c in found.changes]
            table(["line", "role", "before", "after", "reason"], rows)
        screen().print(f"\n{len(found.changes)} of {found.before.total()} decisions would change.")
    if found.after[replays.REFUSED]:
        raise typer.Exit(BAD_INPUTS)
