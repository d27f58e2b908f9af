"""What guides terms beside content and style: further pictures, blends, regions."""

from collections.abc import Collection, Mapping

from nst_jax.config.terms import Terms, TermSpec
from nst_jax.runs.inputs import Sources
from nst_jax.runs.objectives import CONTENT, OF_IMAGE, OF_PAIRS, STYLE, references_of, region_of
from nst_jax.terms import Term


def check_guides(
    specs: Terms, sources: Sources, made: Mapping[str, Term], *, own: Collection[str] = ()
) -> None:
    """Refuses terms that read what is not there, and what is there but read by none.

    Args:
      specs: what is set of each term.
      sources: the pictures of the run.
      made: the terms.
      own: pictures and regions that the run itself makes, which no other may be called.

    Raises:
      ValueError: one line that names the term or the option.
    """
    _check_names(sources, own)
    for name, spec in specs.items():
        _check_term(name, spec, sources, own)
    _check_read(sources, made, own)
    if sources.blend:
        _check_blend(specs, sources, made)


def _check_names(sources: Sources, own: Collection[str]) -> None:
    if taken := {*sources.references, *sources.masks[CONTENT]} & {*own}:
        raise ValueError(f"{min(taken)} is a picture or region that a video makes: rename yours")
    if sources.masks[CONTENT] and len(sources.contents) > 1:
        raise ValueError(
            f"--mask is of one content picture, and there are {len(sources.contents)}: take one of "
            "them, or leave it out"
        )
    if sources.masks[STYLE] and len(sources.styles) > 1:
        raise ValueError(
            f"--style-mask is of one style picture, and there are {len(sources.styles)}: sweep "
            "over one style, or leave it out"
        )
    if twice := set(sources.references) & set(sources.masks[CONTENT]):
        raise ValueError(f"{min(twice)} is the name of a picture and of a region: rename one")


def _check_term(name: str, spec: TermSpec, sources: Sources, own: Collection[str]) -> None:
    if spec.kind in OF_IMAGE and spec.reference not in (None, CONTENT, *own):
        raise ValueError(
            f"the term {name!r} compares location by location ({spec.kind}): its reference must be "
            f"{CONTENT!r}, got {spec.reference!r}"
        )
    if spec.region and spec.region not in {*sources.masks[CONTENT], *own}:
        raise ValueError(
            f"the term {name!r} names the region {spec.region!r}, which is not there: give "
            f"--mask {spec.region}=PATH"
        )


def _check_read(sources: Sources, made: Mapping[str, Term], own: Collection[str]) -> None:
    """Each picture that a term reads is there, and each that is there is read."""
    given = dict.fromkeys((CONTENT, STYLE, *own), "")
    given |= dict.fromkeys(sources.references, "--picture")
    for picture, option in ((CONTENT, "--mask"), (STYLE, "--style-mask")):
        given |= {region_of(picture, name): option for name in sources.masks[picture]}
    read = (*references_of(made), *sources.blend)
    if unknown := [name for name in read if name not in given]:
        raise ValueError(
            f"a term reads the picture {unknown[0]!r}, which is not there: give "
            f"--picture {unknown[0]}=PATH"
        )
    if unread := [name for name, option in given.items() if option and name not in read]:
        name = unread[0].removeprefix(region_of(STYLE, ""))
        whose = " (it is of the terms of this region that read STYLE)" * (name != unread[0])
        raise ValueError(
            f"no term reads {given[unread[0]]} {name}{whose}: name it in the objective"
        )


def _check_blend(specs: Terms, sources: Sources, made: Mapping[str, Term]) -> None:
    """Refuses a blend that no term reads, or that some term cannot take for one picture."""
    if sources.masks[STYLE]:
        raise ValueError(
            "--blend takes whole pictures, --style-mask a part of one: leave one of them out"
        )
    readers = [name for name, term in made.items() if STYLE in term.references]
    if not readers:
        raise ValueError(f"no term reads the blend: it takes the place of the picture {STYLE!r}")
    for name in readers:
        if (kind := specs[name].kind) in OF_PAIRS:
            raise ValueError(
                f"the term {name!r} compares pairs of locations ({kind}), which a blend has not: "
                "let it read one picture, or leave out --blend"
            )
