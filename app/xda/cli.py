"""The command line: parses arguments and prints; ``xda.build`` and ``xda.explanation`` do the work.

Bad input ends with exit status 2 and one line that says what to do.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pydantic import ValidationError

from xda.errors import BadImagesError, ConfigError, XdaError
from xda.progress import TerminalProgress
from xda.settings import Settings
from xda.version import __version__

if TYPE_CHECKING:
    from xda.build.config import BuildConfig

USAGE_ERROR = 2
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Argument parser with errors of one line."""

    closing: Callable[[], str] | None = None
    """Makes the end of the help, which is asked for rarely and may be slow."""

    def format_help(self) -> str:
        return super().format_help() + (self.closing() if self.closing else "")

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        0: success, 1: a run failed its verification, 2: an error that a person can mend.
    """
    # The report of bad images already names each image that is too large; Pillow would print a source line about it.
    warnings.filterwarnings("ignore", "Image size .* exceeds limit")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(arguments)
    options.arguments = arguments
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except BadImagesError as error:
        return _complain(error.sentence, error.listed)
    except XdaError as error:
        return _complain(str(error))
    except ValidationError as error:
        first = error.errors()[0]
        name = "XDA_" + "_".join(map(str, first["loc"])).upper()
        return _complain(f"setting {name}: {first['msg']}; correct it in the environment or on the command line.")
    except BrokenPipeError:
        # The reader of the output has closed it (`xda info RUN | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _complain(
            f"{error.filename or 'input or output'}: {error.strerror or error}; nothing was lost, try again."
        )
    except KeyboardInterrupt:
        goes_on = "; the same command continues where it stopped" if command in (_demo, _data, _train, _build) else ""
        print(f"\nxda: stopped{goes_on}.", file=sys.stderr)
        return INTERRUPTED


def _complain(message: str, listed: Sequence[str] = ()) -> int:
    print("xda: " + " ".join(message.split()), *listed, sep="\n  ", file=sys.stderr)
    return USAGE_ERROR


def number_or_all(text: str) -> int | None:
    """Read a limit, None for ``all``; argparse names this function in its error about any other text."""
    return None if text == "all" else int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="xda", description="Which training images made the network decide as it did, and where.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)

    def add(name: str, command: Callable[[argparse.Namespace], int], summary: str) -> _Parser:
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.set_defaults(command=command)
        sub.add_argument("--home", type=Path, help="folder of data/, runs/, checkpoints/, cache/ (default: here)")
        return sub

    def add_device(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--device", choices=("auto", "cpu", "cuda"), help="device that computes (default: auto)")

    def add_allow_factory(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--allow-factory",
            action="append",
            metavar="MODULE",
            help="module or package that you trust to make a run's network (repeat for several)",
        )

    def add_server(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        sub.add_argument("--port", type=int, default=8000, help="port to listen on; 0: any free one (default: 8000)")
        sub.add_argument("--workers", type=int, default=1, help="server processes (default: 1)")
        sub.add_argument("--root-path", help="path prefix under which a proxy serves the application")
        add_device(sub)

    demo = add("demo", _demo, "serve an explorer from nothing: fetch, train, build, verify, serve")
    demo.add_argument(
        "name",
        nargs="?",
        default="mnist",
        metavar="NAME",
        help="mnist (default), or clothing: photographs, with timm's EfficientNet-Lite0",
    )
    demo.add_argument("--no-serve", action="store_true", help="stop when the run is built and verified")
    add_server(demo)
    data = add("data", _data, "fetch a known data set into the data folder")
    data.add_argument("name", metavar="NAME", help="one of the names below")
    data.closing = _known_names
    train = add("train", _train, "train a preset network and write its checkpoint")
    train.add_argument("preset", metavar="PRESET", help="a preset network, such as mnist-cnn")
    train.add_argument("--out", type=Path, help="checkpoint file (default: checkpoints/PRESET.safetensors)")
    add_device(train)
    build = add("build", _build, "write features, surrogates and index as a run folder; continues an interrupted build")
    build.add_argument("config", type=Path, metavar="CONFIG.toml")
    build.add_argument("--out", type=Path, metavar="RUN", help="the run folder to write")
    build.add_argument("--check", action="store_true", help="predict sizes, times and problems; build nothing")
    build.add_argument("--c", type=float, action="append", metavar="C", help="fit this C (repeat for several)")
    build.add_argument("--skip-bad", action="store_true", help="leave out unusable images and list them")
    add_device(build)
    verify = add("verify", _verify, "check hashes, decomposition and KKT certificate; exit status 0 only if all hold")
    verify.add_argument("run", type=Path, metavar="RUN")
    add_allow_factory(verify)
    add_device(verify)
    info = add("info", _info, "describe a run")
    info.add_argument("run", type=Path, metavar="RUN")
    info.add_argument("--json", action="store_true", help="print the manifest")
    explain = add("explain", _explain, "explain the decision on one test image")
    explain.add_argument("run", type=Path, metavar="RUN")
    explain.add_argument("--test", required=True, metavar="I", help="test image: its number, or the end of its path")
    explain.add_argument("--target", metavar="C", help="class to explain, name or number (default: the network's)")
    explain.add_argument("--against", metavar="E", help="contrast class E, name or number: why C and not E")
    explain.add_argument("--c", type=float, help="which surrogate (default: the C that agrees best with the network)")
    explain.add_argument(
        "--limit", type=number_or_all, default=12, help="most contributions of each sign, or: all (default: 12)"
    )
    explain.add_argument(
        "--rank",
        choices=("sum", "image", "removal"),
        default="sum",
        help="by the share of the logit, for this image alone, or by the estimated effect of removal (default: sum)",
    )
    output = explain.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the JSON of the HTTP API")
    for kind, use in (("png", "as a picture"), ("svg", "to edit"), ("pdf", "to print")):
        output.add_argument(f"--{kind}", type=Path, metavar="FILE", help=f"write the figure with all heat-maps, {use}")
    explain.add_argument("--train", metavar="J", help="draw the pair with this training image instead")
    add_allow_factory(explain)
    add_device(explain)
    serve = add("serve", _serve, "serve run folders as an interactive explorer")
    serve.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    add_allow_factory(serve)
    add_server(serve)
    return parser


def _settings(options: argparse.Namespace, **more: object) -> Settings:
    """Return the settings of the environment, overridden by those of the command line."""
    given = {name: getattr(options, name, None) for name in ("home", "device", "root_path")} | more
    if modules := getattr(options, "allow_factory", None):
        given["allow_factory"] = ",".join(modules)
    return Settings.model_validate({name: value for name, value in given.items() if value is not None})


def _demo(options: argparse.Namespace) -> int:
    from xda.build.demo import demo_run

    settings = _settings(options)
    _check_server(options)
    with TerminalProgress() as progress:
        run, built = demo_run(settings, progress, options.name)
    if options.no_serve:
        print(f"The run is in {run}; serve it with `xda serve {run}`.")
        return 0
    if built:
        # A fresh process only serves; this one would keep the memory of the training.
        os.execv(sys.executable, [sys.executable, "-P", "-m", "xda", *options.arguments])
    return _run_server(options, [run])


def _known_names() -> str:
    from xda.data.known.registry import known_datasets

    return "\nnames:\n" + "".join(f"  {each.name:20}  {each.title}\n" for each in known_datasets().values())


def _data(options: argparse.Namespace) -> int:
    from xda.data.known import registry

    settings = _settings(options)
    with TerminalProgress() as progress:
        registry.fetch(options.name, settings.data_dir, progress)
    print(f"{options.name} is in {settings.data_dir}.")
    return 0


def _train(options: argparse.Namespace) -> int:
    from xda.build.demo import checkpoint_path, train_preset

    settings = _settings(options)
    checkpoint = options.out or checkpoint_path(settings, options.preset)
    with TerminalProgress() as progress:
        _, result = train_preset(options.preset, settings, checkpoint, progress)
    print(f"{checkpoint}: {result.test_accuracy:.2%} of the test images are classified as labelled.")
    if result.fitted_accuracy is not None:
        gain = 100 * (result.test_accuracy - result.fitted_accuracy)
        print(
            f"With ImageNet's features and a fitted head alone: {result.fitted_accuracy:.2%}; gain {gain:+.2f} points."
        )
    return 0


def _build(options: argparse.Namespace) -> int:
    from xda.build.config import load_config
    from xda.build.configured_dataset import load_dataset
    from xda.build.configured_network import refuse_missing_checkpoint
    from xda.build.pipeline import build_run
    from xda.plugins import is_from, search_beside
    from xda.present.words import surrogates_in_words
    from xda.storage.run.overwrite import refuse_overwrite

    settings = _settings(options)
    if options.out is None and not options.check:
        raise ConfigError("Name the run folder to write with --out RUN, or predict the build with --check.")
    config = load_config(options.config, c=options.c)
    if options.out is not None:
        refuse_overwrite(options.out.resolve(), config.run.id)
    refuse_missing_checkpoint(config)
    folder = options.config.absolute().parent
    added = search_beside(folder)
    if options.skip_bad:
        config = config.model_copy(update={"data": config.data.model_copy(update={"skip_bad": True})})
    if options.check:
        return _check_build(options, config)
    with TerminalProgress() as progress:
        dataset = load_dataset(config.data, settings, progress=progress)
        run = build_run(config, dataset, options.out, device=settings.device, progress=progress)
    if words := surrogates_in_words(run.manifest.surrogates):
        print(words)
    # A run names its module but not the module's folder, so that no run can choose the code that is imported.
    factory = config.network.factory
    own = added and factory is not None and is_from(factory, folder) and not config.network.keep_code
    command = f"{f'PYTHONPATH={shlex.quote(str(folder))} ' if own else ''}xda serve {shlex.quote(str(options.out))}"
    if factory is not None:
        command += f" --allow-factory {factory.partition(':')[0]}"
    print(f"{options.out}: run '{run.manifest.id}' is built; serve it with `{command}`.")
    return 0


def _check_build(options: argparse.Namespace, config: BuildConfig) -> int:
    from xda.build.check import check_build
    from xda.build.configured_dataset import load_dataset

    settings = _settings(options)
    with TerminalProgress() as progress:
        dataset = load_dataset(config.data, settings, progress=progress)
        outlook = check_build(config, dataset, options.out, device=settings.device, progress=progress)
    print("\n".join(outlook.lines()))
    if outlook.problems:
        return _complain(f"{options.config}: the build would stop: {'; '.join(outlook.problems)}.")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from xda.build.verify import verify_run

    with TerminalProgress() as progress:
        settings = _settings(options)
        findings = verify_run(
            options.run, device=settings.device, progress=progress, allow_factory=settings.allowed_factories
        )
    for finding in findings:
        print(f"{'ok  ' if finding.passed else 'FAIL'}  {finding.name}: {finding.detail}")
    failed = [finding for finding in findings if not finding.passed]
    if failed:
        advice = "; ".join(dict.fromkeys(finding.advice for finding in failed))
        return _complain(f"{options.run}: {len(failed)} of {len(findings)} checks failed; {advice}.")
    return 0


def _info(options: argparse.Namespace) -> int:
    from xda.present.text import run_text
    from xda.storage.run.folder import RunFolder

    run = RunFolder.open(options.run, verify=False)
    print(run.manifest.to_bytes().decode().rstrip() if options.json else run_text(run))
    return 0


def _explain(options: argparse.Namespace) -> int:
    from xda.explanation.run import Explainer
    from xda.present.documents import explanation_json
    from xda.present.figure_files import KINDS, refuse_unwritable, write_explanation, write_pair
    from xda.present.text import explanation_text

    figures = [(kind, path) for kind in KINDS if (path := getattr(options, kind)) is not None]
    for kind, path in figures:
        refuse_unwritable(kind, path)
    if options.train is not None and not figures:
        raise ConfigError("--train draws a pair: name the file with --png, --svg or --pdf.")
    settings = _settings(options)
    with Explainer.open(options.run, device=settings.device, allow_factory=settings.allowed_factories) as explainer:
        test = explainer.find("test", options.test)
        decision = explainer.decide(test, c=options.c, target=options.target, against=options.against)
        if options.rank == "removal":
            with TerminalProgress() as progress:
                explainer.prepare_removal(c=decision.c, progress=progress)
        train = None if options.train is None else explainer.find("train", options.train)
        for kind, path in figures:
            if train is None:
                write_explanation(explainer, kind, path, decision, rank=options.rank)
            else:
                write_pair(explainer, kind, path, decision, train, rank=options.rank)
            print(f"{path} is written.")
        if figures:
            return 0
        if options.json:
            sys.stdout.buffer.write(explanation_json(explainer, decision, limit=options.limit, rank=options.rank))
        else:
            print(explanation_text(explainer, explainer.explain(decision, limit=options.limit, rank=options.rank)))
    return 0


def _serve(options: argparse.Namespace) -> int:
    from xda.web.server import unopenable

    _check_server(options)
    for problem in unopenable(options.runs):
        print(f"xda: run not served: {problem}", file=sys.stderr)
    return _run_server(options, options.runs)


def _check_server(options: argparse.Namespace) -> None:
    """Refuse a bad port or number of workers now, not after a long build."""
    from xda.web.server import free_port

    if options.workers < 1:
        raise ConfigError(f"--workers is {options.workers}; it must be at least 1.")
    if not getattr(options, "no_serve", False):
        options.port = free_port(options.host, options.port)


def _run_server(options: argparse.Namespace, runs: Sequence[Path]) -> int:
    from xda.web.server import allowed_hosts, run_server

    settings = _settings(
        options,
        runs=os.pathsep.join(str(path.resolve()) for path in runs),
        allowed_hosts=allowed_hosts(_settings(options), options.host),
    )
    print(f"DualXDA Explorer: loading {len(runs)} run{'s'[: len(runs) != 1]} …   (Ctrl-C stops it)", flush=True)
    run_server(settings, options.host, options.port, options.workers)
    return 0
