"""What each command does: it imports the library, calls it, and says what was done."""

import shlex
from functools import singledispatch

from nst_jax import presets
from nst_jax.command.commands import (
    Apply,
    Check,
    Features,
    Frames,
    Metrics,
    Objective,
    Plan,
    Plot,
    Presets,
    Report,
    Rerun,
    Resume,
    Samples,
    Show,
    Weights,
    WeightsConvert,
    WeightsFetch,
    WeightsInfo,
)
from nst_jax.config import StylizeConfig, SweepConfig, VideoConfig, terms
from nst_jax.system.console import debugs, ended_by_ctrl_c, inform, say, warn


@singledispatch
def run(command) -> int:
    """Runs a command; the type of its arguments decides which.

    Args:
      command: the settings of a run, or the arguments of another command.

    Returns:
      The exit code.

    Raises:
      ValueError, OSError, ImportError, MemoryError, RuntimeError: it failed; one clear line.
    """
    raise TypeError(f"expected the arguments of a command, got {type(command).__name__}")


@run.register
def _optimize(command: StylizeConfig | SweepConfig | Resume | Rerun) -> int:
    with ended_by_ctrl_c():
        import jax

        from nst_jax import runs
        from nst_jax.system import environment

    jax.config.update("jax_log_compiles", debugs())
    environment.keep_compiled_programs()
    if isinstance(command, Resume):
        how = {name: getattr(command, name) for name in ("steps", "force", "own_terms")}
        if command.distributed:
            from nst_jax.runs import together

            return together.resume(command.log, **how)
        outcome = runs.resume(command.log, **how)
    elif isinstance(command, Rerun):
        outcome = runs.rerun(
            command.log, new_log=command.new_log, force=command.force, own_terms=command.own_terms
        )
    elif isinstance(command, SweepConfig):
        if command.distributed:
            from nst_jax.runs import hosts

            return hosts.sweep_files(command)
        outcome = runs.sweep_files(command)
    elif isinstance(command, VideoConfig):
        outcome = runs.video_files(command)
    else:
        if command.distributed:
            from nst_jax.runs import together

            return together.stylize_files(command)
        outcome = runs.stylize_files(command)
    return outcome.exit_code


@run.register
def _apply(command: Apply) -> int:
    with ended_by_ctrl_c():
        from nst_jax import runs
        from nst_jax.system import environment

    environment.keep_compiled_programs()
    settings = runs.Application(
        size=None if command.size == "full" else command.size,
        suffix=command.suffix,
        alpha=command.alpha,
        precision=command.precision,
        strips=command.strips,
        force=command.force,
    )
    return runs.apply_files(command.network, command.pictures, command.output, settings)


@run.register
def _objective(command: Objective) -> int:
    say(terms.text_of(command.name).rstrip())
    return 0


@run.register
def _presets(command: Presets) -> int:
    if command.name is not None:
        say(presets.text_of(command.name).rstrip())
        return 0
    width = max(map(len, presets.names()))
    for name in presets.names():
        preset = presets.load(name)
        origin = f"{preset.source}, {preset.version}, {preset.date}"
        say(f"{name:<{width}}  {preset.about} ({origin})")
    return 0


@run.register
def _plot(command: Plot) -> int:
    from nst_jax.command import inspection

    inspection.plot(command.log, command.figures or command.log.parent, force=command.force)
    return 0


@run.register
def _report(command: Report) -> int:
    from nst_jax.command import inspection

    inspection.write_report(command.log, command.output, force=command.force)
    return 0


@run.register
def _show(command: Show) -> int:
    from nst_jax.command import inspection

    say(inspection.show(command.log))
    return 0


@run.register
def _features(command: Features) -> int:
    from nst_jax.command import inspection

    inspection.draw_features(
        command.image,
        command.output,
        layer=command.layer,
        size=command.size,
        arch=command.arch,
        source=command.weights,
        force=command.force,
    )
    return 0


@run.register
def _frames(command: Frames) -> int:
    from nst_jax.report import frames

    frames.write(command.log, command.folder, force=command.force)
    return 0


@run.register
def _metrics(command: Metrics) -> int:
    with ended_by_ctrl_c():
        from nst_jax.command import judging
        from nst_jax.system import environment

    environment.keep_compiled_programs()
    judging.judge(command)
    return 0


@run.register
def _samples(command: Samples) -> int:
    from nst_jax.image import samples

    paths = samples.write(command.folder, force=command.force)
    inform("wrote " + ", ".join(map(str, paths)))
    pictures = shlex.join(map(str, paths))
    say(f"to try them: nst-jax stylize {pictures} --output out.png --preset painterly")
    return 0


@run.register
def _plan(command: Plan) -> int:
    with ended_by_ctrl_c():
        from nst_jax import driver, vgg
        from nst_jax.runs import capacity, estimate
        from nst_jax.system import environment

    driver.check_settings(num_steps=command.steps, learning_rate=1.0, tolerance=None)
    if warning := environment.unused_gpu():
        warn(warning)
    arch, pooling = command.arch, command.pooling
    precision = vgg.resolve_precision(command.precision)
    if command.table:
        say(capacity.table(arch=arch, pooling=pooling, precision=precision))
        return 0
    found = estimate.estimate(
        command.size, command.variants, arch=arch, pooling=pooling, precision=precision
    )
    say(estimate.in_words(found, size=command.size, variants=command.variants, steps=command.steps))
    return 0


@run.register
def _check(command: Check) -> int:
    with ended_by_ctrl_c():
        from nst_jax import check
        from nst_jax.system import files

    if command.output:
        files.check_output(command.output, force=command.force, suffixes=(".json",))
    report = check.check(command.size, source=command.weights)
    if warning := report.facts.get("unused_gpu"):
        warn(warning)
    say(check.in_words(report))
    if command.output:
        check.write(report, command.output)
        inform(f"wrote {command.output}")
    return 0 if check.passed(report) else 1


@run.register
def _weights(command: Weights) -> int:
    return run(command.action)


@run.register
def _weights_info(command: WeightsInfo) -> int:
    from nst_jax.command import inspection

    if command.layers:
        say(inspection.layer_table(command.arch, command.size))
    else:
        say(inspection.weights_info(command.weights, command.arch))
    return 0


@run.register
def _weights_fetch(command: WeightsFetch) -> int:
    from nst_jax import weights

    say(weights.fetch(command.arch))
    return 0


@run.register
def _weights_convert(command: WeightsConvert) -> int:
    from nst_jax import weights
    from nst_jax.system import files

    files.check_output(command.destination, force=command.force, suffixes=(".h5", ".hdf5"))
    weights.convert(
        command.source,
        command.destination,
        arch=command.arch,
        convention=command.convention,
        lpips=command.lpips,
    )
    inform(f"wrote {command.destination}")
    return 0
