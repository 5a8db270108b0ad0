"""Forms are known before the first thread asks: what is learnt by two threads at once ends the process."""

from certlag.kube import schema
from tests.field.record import case


@case(
    "W35",
    kind="Found by tests: an input that stopped a program",
    situation="Two threads read the first object of the same kind at once.",
    says="Both are read. Before: the exporter ended at 4 of 544 starts.",
    found_by="test",
    since="2026-11-24",
)
def test_every_form_has_its_decoder_from_the_beginning() -> None:
    forms = {form for form in vars(schema).values() if isinstance(form, type) and issubclass(form, schema.Struct)}
    assert forms - {schema.Struct} <= schema._DECODERS.keys()  # noqa: SLF001 - that is what it is about
