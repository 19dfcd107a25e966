"""Studies: what a run is known by, what is computed again and what is not, how results are read."""

import json
from functools import partial

import pytest

from ippy import __main__ as cli
from ippy import paths, results, studies
from ippy.networks import NETWORKS, Network, Recipe
from ippy.studies import comparison, cost, measures, robustness, runner, sources, trained, variants
from ippy.studies.runner import Run, identity


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("IPPY_CACHE", str(tmp_path / "cache"))


# --- what is stored ---


@pytest.mark.parametrize("name", studies.STUDIES)
def test_stored_studies_have_the_runs_of_the_code(name):
    stored, runs = studies.result(name), studies.STUDIES[name].runs()
    names = stored["fields"]
    found = [{n: run[n] for n in names if n in run} for run in stored["runs"]]
    assert found == [run.fields for run in runs]
    assert [run["depends"] for run in stored["runs"]] == [run.depends for run in runs]
    summarise = getattr(studies.STUDIES[name], "summarise", lambda runs: {})
    for key, value in json.loads(json.dumps(summarise(stored["runs"]))).items():
        assert stored[key] == value


def test_names_of_runs_are_not_text_to_split():
    for name in studies.STUDIES:
        for run in studies.STUDIES[name].runs():
            assert all(isinstance(v, str | int | float | bool) for v in run.fields.values())
            if "network" in run.fields and "+ global skip" in str(run.fields["network"]):
                assert run.fields["global_skip"] and run.fields["base"] in NETWORKS


def test_the_chosen_regularisation_is_not_at_the_end_of_the_search():
    stored = studies.result("baselines")
    for level, chosen in stored["chosen"].items():
        for method, lam in chosen.items():
            assert lam in stored["lambdas"][method][1:-1], (level, method)


# --- reading ---

TOY = results.Study(
    study="toy",
    fields=["network", "seed", "weights"],
    runs=[
        {"network": "A", "seed": 0, "psnr": 1},
        {"network": "A", "seed": 1, "psnr": 2},
        {"network": "A", "weights": "shipped", "psnr": 3},
        {"network": "B", "seed": 0, "psnr": 4},
    ],
)


def test_runs_are_chosen_by_their_fields():
    assert [run["psnr"] for run in TOY.runs()] == [1, 2, 3, 4]
    assert [run["psnr"] for run in TOY.runs(network="A")] == [1, 2, 3]
    assert [run["psnr"] for run in TOY.runs(seed=0)] == [1, 4]
    assert TOY.run(network="A", seed=None)["psnr"] == 3, "None: runs without that field"
    assert TOY.run(network="A", seed=1)["psnr"] == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"network": "C"}, "toy has 0 runs with network='C', expected one; there are network 'A'"),
        ({"network": "A"}, "3 runs with network='A', expected one; say which: seed 0, 1, None; w"),
        ({"net": "A"}, "runs of study toy have no net; choose among them by network, seed, weig"),
    ],
)
def test_a_choice_that_is_none_or_several_is_explained(fields, message):
    with pytest.raises(ValueError) as error:
        TOY.run(**fields)
    assert message in str(error.value)


def test_a_study_that_is_not_stored_says_how_to_run_it():
    with pytest.raises(FileNotFoundError, match="python -m ippy study absent"):
        studies.result("absent")


# --- computing ---


class Stop(Exception):
    pass


class Toy:
    """A study of runs ``network`` = a, b, …; notes what it computes."""

    def __init__(self, names="abc", depends=None, fails=""):
        self.names, self.depends, self.fails, self.computed = names, depends or {}, fails, []

    def compute(self, name):
        if name in self.fails:
            raise Stop
        self.computed.append(name)
        return {"value": name.upper(), "pair": (1, 2)}

    def runs(self):
        return [
            Run({"network": n}, partial(self.compute, n), self.depends.get(n, "0"))
            for n in self.names
        ]

    def summarise(self, runs):
        return {"n": len(runs)}

    def run(self, folder, **options):
        return studies.run("toy", folder, (self.runs, self.summarise), **options)


def stored(folder):
    return json.loads((folder / "toy.json").read_text("utf-8"))


def test_studies_resume_run_by_run(tmp_path):
    with pytest.raises(Stop):
        Toy(fails="b").run(tmp_path)
    again = Toy()
    found = again.run(tmp_path)
    assert again.computed == ["b", "c"] and stored(tmp_path) == found
    assert found["n"] == 3 and found["machine"]["torch"] and found["fields"] == ["network"]
    assert [run["value"] for run in found["runs"]] == ["A", "B", "C"]
    assert found.run(network="a")["pair"] == [1, 2], "as it is read from the file"
    assert not list((paths.cache_dir() / "studies").glob("*.json"))


def test_a_study_starts_from_what_is_stored_and_drops_what_is_no_more(tmp_path):
    Toy("abc").run(tmp_path)
    before = stored(tmp_path)["runs"]
    grown = Toy("dba")
    grown.run(tmp_path)
    assert grown.computed == ["d"]
    after = stored(tmp_path)["runs"]
    assert [run["network"] for run in after] == ["d", "b", "a"]
    assert runner.stale(Toy("db").runs(), tmp_path / "toy.json") == [
        "network a: is no run any more"
    ]
    assert after[1:] == [before[1], before[0]]


def test_a_run_of_other_weights_or_recipe_is_computed_anew(tmp_path):
    Toy("abc").run(tmp_path)
    other = Toy("abc", {"b": "1"})
    assert runner.stale(other.runs(), tmp_path / "toy.json") == [
        "network b: is of another recipe, task or weight file"
    ]
    other.run(tmp_path)
    assert other.computed == ["b"] and stored(tmp_path)["runs"][1]["depends"] == "1"


def test_runs_of_changed_code_are_named_and_computed_if_wanted(tmp_path, monkeypatch):
    Toy("ab").run(tmp_path)
    path = tmp_path / "toy.json"
    assert runner.stale(Toy("ab").runs(), path) == []
    edit(monkeypatch, __name__, "name.upper()", "name.upper() + name")
    toy = Toy("abc")
    assert runner.stale(toy.runs(), path) == [
        "network a: its code has changed since",
        "network b: its code has changed since",
        "network c: is not stored",
    ]
    toy.run(tmp_path)
    assert toy.computed == ["c"]
    toy.run(tmp_path, renew=True)
    assert toy.computed == ["c", "a", "b"] and runner.stale(toy.runs(), path) == []


def test_changed_code_can_be_accepted_and_a_missing_run_cannot(tmp_path, monkeypatch):
    Toy("ab").run(tmp_path)
    path = tmp_path / "toy.json"
    edit(monkeypatch, __name__, "name.upper()", "str.upper(name)")
    book = path.read_bytes()
    runner.accept("toy", Toy("ab").runs(), None, tmp_path / "own.json", start=path)
    assert path.read_bytes() == book, "what the package brought is not written"
    assert runner.stale(Toy("ab").runs(), tmp_path / "own.json") == []
    runner.accept("toy", Toy("ab").runs(), None, path)
    assert runner.stale(Toy("ab").runs(), path) == []
    with pytest.raises(ValueError, match="toy has to be run: 1 of its runs .* first is network c"):
        runner.accept("toy", Toy("abc").runs(), None, path)


def test_what_cannot_be_computed_is_left_out_with_one_line(tmp_path, capsys):
    toy = Toy("ab")
    runs = [*toy.runs(), Run({"network": "c"}, Stop, missing="it has no weights")]
    found = studies.run("toy", tmp_path, (lambda: runs, None))
    assert [run["network"] for run in found["runs"]] == ["a", "b"]
    assert capsys.readouterr().err.splitlines()[0] == ("toy: left out network c: it has no weights")
    assert runner.stale(runs, tmp_path / "toy.json") == []


def test_a_run_on_another_machine_says_so(tmp_path, monkeypatch):
    Toy("a").run(tmp_path)
    monkeypatch.setattr(runner.host, "machine", lambda: {"processor": "another"})
    found = Toy("ab").run(tmp_path)
    assert found["machine"]["torch"] and "machine" not in found["runs"][0]
    assert found["runs"][1]["machine"] == {"processor": "another"}


def test_a_run_that_waits_in_the_cache_keeps_its_machine(tmp_path, monkeypatch):
    with pytest.raises(Stop):
        Toy("ab", fails="b").run(tmp_path)
    first = runner.host.machine()
    monkeypatch.setattr(runner.host, "machine", lambda: {"processor": "another"})
    found = Toy("ab").run(tmp_path)
    assert found["machine"] == {"processor": "another"} and "machine" not in found["runs"][1]
    assert found["runs"][0]["machine"] == first


def test_what_is_stored_comes_before_what_waits_in_the_cache(tmp_path):
    with pytest.raises(Stop):
        Toy("ab", fails="b").run(tmp_path)
    waiting = paths.cache_dir() / "studies" / "toy.json"
    left = json.loads(waiting.read_text("utf-8"))
    left["runs"][0]["value"] = "left over"
    Toy("ab").run(tmp_path)
    for depends in ("0", "of another recipe"):
        left["runs"][0]["depends"] = depends
        waiting.parent.mkdir(exist_ok=True)
        waiting.write_text(json.dumps(left), "utf-8")
        again = Toy("ab")
        assert [run["value"] for run in again.run(tmp_path)["runs"]] == ["A", "B"]
        assert again.computed == []


def test_a_value_may_not_be_called_like_a_field(tmp_path):
    runs = [Run({"seed": 0}, lambda: {"seed": 1})]
    with pytest.raises(ValueError, match="study toy: seed is a field and a value"):
        studies.run("toy", tmp_path, (lambda: runs, None))


def test_away_from_the_checkout_a_study_starts_from_the_book_and_leaves_it(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "output_dir", lambda: tmp_path)
    monkeypatch.setattr(cost, "_cost", lambda subject: pytest.fail("computed again"))
    found = studies.run("cost")
    assert found == studies.result("cost")
    assert results.read(tmp_path / "results" / "cost.json") == found


def test_the_command_line_lists_what_is_stale(capsys, monkeypatch):
    assert cli.main(["study", "baselines", "--stale"]) == 0
    before = capsys.readouterr().out
    monkeypatch.setattr(studies.STUDIES["baselines"], "NOISE_LEVELS", (0.01, 0.05, 0.2, 0.4))
    assert cli.main(["study", "baselines", "--stale"]) == 0
    assert "noise_level 0.4: is not stored" in capsys.readouterr().out
    assert "is not stored" not in before


# --- growth: a network more adds its runs, and nothing else ---


def measured(subject):
    return {"psnr": [1.0], "of": subject.fields["network"]}


@pytest.mark.parametrize(
    ("module", "measure", "added"),
    [
        (comparison, "_compare", 0),
        (variants, "_measure", 3),
        (robustness, "_measure", 0),
        (cost, "_cost", 0),
    ],
)
def test_a_network_adds_its_runs_and_nothing_else(
    module, measure, added, tmp_path, monkeypatch, capsys
):
    name = module.__name__.rpartition(".")[2]
    computed = []
    monkeypatch.setattr(module, measure, lambda s: computed.append(s.fields) or measured(s))
    before = studies.run(name, tmp_path, (module.runs, None))["runs"]
    assert computed == [run.fields for run in module.runs()]
    computed.clear()
    args = {"in_ch": 1, "out_ch": 1, "base_ch": 4}
    small = Network("Small", Recipe("SimpleUNet", args), "unet", chapter="unet_variants")
    monkeypatch.setitem(NETWORKS, "Small", small)
    untaught = Network("Untaught", Recipe("SimpleUNet", args), "unet")
    monkeypatch.setitem(NETWORKS, "Untaught", untaught)
    elsewhere = Recipe("SimpleUNet", args)
    object.__setattr__(elsewhere, "task", "tomography")
    monkeypatch.setitem(NETWORKS, "Other", Network("Other", elsewhere, "unet", "unet"))
    after = studies.run(name, tmp_path, (module.runs, None))["runs"]
    assert [fields["network"] for fields in computed] == ["Small"] * added
    assert [run for run in after if run["network"] != "Small"] == before
    said = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert said == [
        f"{name}: left out network Small, weights shipped: it has no weights; train them with "
        "'python -m ippy train Small'"
    ]


def test_what_a_run_depends_on():
    recipe = Recipe("SimpleUNet")
    assert identity(recipe) == identity(Recipe("SimpleUNet", quick_steps=7))
    others = [Recipe("ResCNN"), Recipe("SimpleUNet", lr=2e-3), Recipe("SimpleUNet", seed=1)]
    assert len({identity(r) for r in (recipe, *others)}) == 4
    assert identity(recipe, 1) != identity(recipe, 2)
    key = {"network": "UNet", "weights": "shipped"}
    (shipped,) = (run for run in variants.runs() if run.fields == key)
    card = json.loads((paths.WEIGHTS / "UNet.json").read_text("utf-8"))
    assert shipped.depends == identity(card["sha256"][:12], measures.VERSION)


def test_another_task_is_another_identity(monkeypatch):
    before = identity(Recipe("SimpleUNet")), trained.depends("UNet", 0)
    probe = "ippy.tasks.Task.probe"
    monkeypatch.setattr(probe, lambda task: "another")
    assert identity(Recipe("SimpleUNet")) != before[0] and trained.depends("UNet", 0) != before[1]


# --- the code a result was made with ---

READ = sources.read


def edit(monkeypatch, module, old, new):
    """Let the source of a module be another one."""
    assert old in READ(module)
    changed = READ(module).replace(old, new)
    monkeypatch.setattr(sources, "read", lambda m: changed if m == module else READ(m))


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("ippy.models.unet", "class SimpleUNet(nn.Module):", "# why\nclass SimpleUNet(nn.Module):"),
        ("ippy.models.unet", '"""Map ', '"""Maps '),
        ("ippy.models.unet", "import torch\n", "import torch\n\n\n"),
        (
            "ippy.models.unet",
            "class AttentionUNet",
            "class Unused:\n    pass\n\n\nclass AttentionUNet",
        ),
        ("ippy.networks", '    "ResCNN": Network(', '    "More": None,\n    "ResCNN": Network('),
        ("ippy.files", "os.fsync", "os.fdatasync"),
        ("ippy.seeds", "-> torch.Generator:", "-> object:"),
    ],
)
def test_comments_docstrings_and_what_is_not_used_change_nothing(monkeypatch, module, old, new):
    before = sources.digest(*trained.code("UNet"))
    edit(monkeypatch, module, old, new)
    assert sources.digest(*trained.code("UNet")) == before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("ippy.models.unet", "torch.relu", "torch.sigmoid"),
        ("ippy.training.loop", "self.optimizer.step()", "self.optimizer.zero_grad()"),
        ("ippy.training.optimizers", "FAN_IN = 288", "FAN_IN = 144"),
        ("ippy.training.batches", "< 0.5", "< 0.6"),
        ("ippy.networks", "0.5 * (1 + cos", "0.4 * (1 + cos"),
        ("ippy.datasets.phantoms", "GENERATOR_VERSION = ", "GENERATOR_VERSION = 9"),
        ("ippy.operators.filters", "def motion_kernel(", "def motion_kernel(shift, "),
        ("ippy.studies.settled", "_VALIDATIONS = 12", "_VALIDATIONS = 6"),
    ],
)
def test_code_that_is_used_counts(monkeypatch, module, old, new):
    name = "ResidualUNet" if module == "ippy.models.unet" else "UNet"
    before = sources.digest(*trained.code(name))
    edit(monkeypatch, module, old, new)
    assert sources.digest(*trained.code(name)) != before


def test_a_digest_does_not_depend_on_how_a_thing_is_named():
    from ippy import metrics, models

    assert sources.digest(metrics.psnr) == sources.digest("ippy.metrics.psnr")
    assert sources.digest(models.SimpleUNet) == sources.digest("ippy.models.SimpleUNet")
    assert sources.digest(models.SimpleUNet) != sources.digest(models.ResidualUNet)
